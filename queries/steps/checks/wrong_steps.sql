-- Chains with a value that does not follow from the one before
-- Half of an even value, three times an odd value and 1. Step 0 has the number itself. Missing steps are found by incomplete_chains.
-- expect: no rows
SELECT
    number,
    (wrong[1]).1 AS step,
    (wrong[1]).2 AS value
FROM
(
    SELECT
        number,
        arraySort(groupUniqArray((step, toInt128(value)))) AS chain,
        arrayFilter(
            (next, previous) -> next.1 = previous.1
                OR (next.1 = previous.1 + 1 AND next.2 != if(previous.2 % 2 = 0, intDiv(previous.2, 2), 3 * previous.2 + 1)),
            arrayPopFront(chain),
            arrayPopBack(chain)) AS wrong_after_first,
        if((chain[1]).1 = 0 AND (chain[1]).2 != number, [chain[1]], wrong_after_first) AS wrong
    FROM steps
    GROUP BY number
)
WHERE notEmpty(wrong)
ORDER BY number
LIMIT 100
SETTINGS optimize_aggregation_in_order = 1
