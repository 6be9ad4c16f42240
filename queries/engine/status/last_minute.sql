-- How many rows of each of these topics were added to the tables in the last minute.
SELECT topic, sum(new) AS rows
FROM loader_chunks
WHERE topic IN {topics:Array(String)} AND state = 'done' AND written_at > now64(3) - INTERVAL 1 MINUTE
GROUP BY topic
