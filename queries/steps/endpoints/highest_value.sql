-- The highest value of all chains, and the number and step at which it is reached.
--
-- If several chains reach it, the smallest number.
-- path: /highest_value
-- answer: one
-- cache: 1s
SELECT
    number,
    value,
    step
FROM steps
WHERE (number, value) IN (SELECT number, highest FROM chains ORDER BY highest DESC, number LIMIT 1)
ORDER BY step
LIMIT 1
