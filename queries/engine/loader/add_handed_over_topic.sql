-- Assigns a topic the epoch that was prepared for another loader.
INSERT INTO loader_topics (topic, epoch, partitions, loader, continues)
SELECT {topic:String}, {next_epoch:UInt32}, {partitions:UInt16}, {loader:String}, true
WHERE /* fence */
