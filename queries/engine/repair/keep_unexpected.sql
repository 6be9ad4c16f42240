-- Keeps the unexpected rows that are still stored, for another attempt. The subquery comes first: otherwise `attempt` in it would be the
-- next one.
INSERT INTO /* differences */
SELECT * REPLACE ({next_attempt:UUID} AS attempt, now() AS found_at)
FROM plan_unexpected
