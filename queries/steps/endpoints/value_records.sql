-- The numbers whose chain reaches a higher value than that of every smaller number.
-- plot: points x=number y=value
-- cache: 10s
SELECT
    min(number) AS number,
    value
FROM
(
    SELECT
        number,
        max(highest) OVER (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS value
    FROM chains FINAL
)
GROUP BY value
ORDER BY number
