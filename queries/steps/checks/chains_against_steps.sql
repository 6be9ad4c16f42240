-- Chains whose length or highest value differs from their steps
-- expect: no rows
SELECT
    number,
    maxIf(length, NOT is_aggregated) AS length_of_steps,
    maxIf(length, is_aggregated) AS length_aggregated,
    maxIf(high, NOT is_aggregated) AS highest_of_steps,
    maxIf(high, is_aggregated) AS highest_aggregated
FROM
(
    SELECT true AS is_aggregated, number, steps AS length, highest AS high FROM chains
    UNION ALL
    SELECT false, number, step, value FROM steps
)
GROUP BY number
HAVING length_of_steps != length_aggregated OR highest_of_steps != highest_aggregated
    OR countIf(is_aggregated) = 0 OR countIf(NOT is_aggregated) = 0
ORDER BY number
LIMIT 100
SETTINGS max_bytes_before_external_group_by = 1000000000
