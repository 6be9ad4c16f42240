-- Assigns a topic the next epoch. Epochs are unique over all topics.
INSERT INTO loader_topics (topic, epoch, partitions, loader)
SELECT {topic:String}, (SELECT max(epoch) + 1 FROM loader_topics), {partitions:UInt16}, 'roundhouse'
WHERE /* fence */
