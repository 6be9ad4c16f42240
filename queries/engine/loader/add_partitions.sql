-- Records that a topic has more partitions. Its epoch continues.
INSERT INTO loader_topics (topic, epoch, partitions, loader, continues)
SELECT {topic:String}, {epoch:UInt32}, {partitions:UInt16}, {loader:String},
    (SELECT max(continues) FROM loader_topics WHERE topic = {topic:String} AND epoch = {epoch:UInt32})
WHERE /* fence */
