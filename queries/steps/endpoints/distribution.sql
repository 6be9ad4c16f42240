-- How many chains have each length.
-- plot: bars x=steps y=numbers
-- cache: 10s
SELECT
    steps,
    count() AS numbers
FROM chains FINAL
GROUP BY steps
ORDER BY steps
