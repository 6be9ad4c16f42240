-- The next epoch.
SELECT toUInt32(max(epoch) + 1) FROM loader_topics
