-- The epoch, partitions and loader with which a topic was last loaded. If partitions were added, an epoch has several rows.
SELECT epoch, partitions, loader = 'clickhouse' AS by_clickhouse FROM loader_topics
WHERE topic = {topic:String} ORDER BY epoch DESC, partitions DESC LIMIT 1
