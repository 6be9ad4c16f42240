-- Gives a topic the epoch that was prepared for another loader.
INSERT INTO loader_topics (topic, epoch, partitions, loader)
VALUES ({topic:String}, {next_epoch:UInt32}, {partitions:UInt16}, {loader:String})
