-- Assigns a topic the next epoch. Epochs are unique over all topics.
INSERT INTO loader_topics (topic, epoch, partitions, loader)
SELECT {topic:String}, (SELECT max(epoch) + 1 FROM loader_topics), {partitions:UInt16}, 'roundhouse'
WHERE throwIf({generation:UInt32} NOT IN (SELECT max(generation) FROM loader_leases GROUP BY topic), 'roundhouse: the lease was taken over') = 0
