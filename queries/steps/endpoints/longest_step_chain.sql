-- The number whose chain has the most steps.
--
-- Of several, the smallest number.
-- path: /longest_step_chain
-- answer: one
-- cache: 1s
SELECT
    number,
    steps
FROM chains
ORDER BY steps DESC, number
LIMIT 1
