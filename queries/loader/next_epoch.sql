-- The epoch that comes next.
SELECT toUInt32(max(epoch) + 1) FROM loader_topics
