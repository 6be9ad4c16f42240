-- Shows whether the loader is loading: how many entries it has noted for a topic, and how many chunks it has not finished.
SELECT count() AS entries, uniqExactIf((epoch, partition, first_offset), state = 'noted')
    - uniqExactIf((epoch, partition, first_offset), state = 'done') AS unfinished
FROM loader_chunks
WHERE topic = {topic:String} AND epoch = (SELECT max(epoch) FROM loader_topics WHERE topic = {topic:String})
