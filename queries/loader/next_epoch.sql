-- The epoch that comes next.
SELECT max(epoch) + 1 FROM loader_topics
