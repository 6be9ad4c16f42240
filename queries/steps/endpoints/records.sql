-- The numbers whose chain has more steps than that of every smaller number.
--
-- A length is a record if the smallest number with it is smaller than all numbers with longer chains.
-- plot: points x=number y=steps
-- cache: 10s
SELECT
    number,
    steps
FROM
(
    SELECT
        steps,
        min(number) AS number,
        min(number) OVER (ORDER BY steps DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS smallest
    FROM chains
    GROUP BY steps
)
WHERE number = smallest
ORDER BY number
