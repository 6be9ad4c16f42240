-- Chains with a missing step, or that do not end at 1
-- Chains are incomplete while they are being loaded.
-- expect: no rows
SELECT
    number,
    uniqExact(step) AS steps_stored,
    max(step) + 1 AS steps_expected,
    argMax(value, step) AS last_value
FROM steps
GROUP BY number
HAVING steps_stored != steps_expected OR last_value != 1
ORDER BY number
LIMIT 100
SETTINGS optimize_aggregation_in_order = 1
