-- Steps that were sent more than once
-- They change no answer, but take space.
SELECT
    number,
    count() - uniqExact(step) AS repeated,
    min(produced_at) AS first_produced,
    max(produced_at) AS last_produced
FROM steps
GROUP BY number
HAVING repeated > 0
ORDER BY number
LIMIT 100
SETTINGS optimize_aggregation_in_order = 1
