-- The epoch and partitions under which a topic was loaded last.
SELECT epoch, partitions FROM loader_topics WHERE topic = {topic:String} ORDER BY epoch DESC LIMIT 1
