-- Assigns a topic the epoch that was prepared for another loader.
INSERT INTO loader_topics (topic, epoch, partitions, loader, continues)
SELECT {topic:String}, {next_epoch:UInt32}, {partitions:UInt16}, {loader:String}, true
WHERE throwIf({generation:UInt32} NOT IN (SELECT max(generation) FROM loader_leases GROUP BY topic), 'roundhouse: the lease was taken over') = 0
