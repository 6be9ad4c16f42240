-- The values of a number's chain, step by step.
-- path: /plot/{number}
-- param number required min=1 The number with which the chain begins
-- plot: line x=step y=value
SELECT
    step,
    min(value) AS value
FROM steps
WHERE number = {number:UInt64}
GROUP BY step
ORDER BY step
