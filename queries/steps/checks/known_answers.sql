-- Known chains that are stored with another length or highest value
-- expect: no rows
SELECT
    number,
    chains.steps AS steps,
    known.steps AS known_steps,
    chains.highest AS highest,
    known.highest AS known_highest
FROM (SELECT number, max(steps) AS steps, max(highest) AS highest FROM chains GROUP BY number) AS chains
INNER JOIN
(
    SELECT
        known.1 AS number,
        known.2 AS steps,
        toDecimal128(known.3, 0) AS highest
    FROM (SELECT arrayJoin([
        (toUInt64(27), toUInt64(111), '9232'),
        (704511, 242, '56991483520'),
        (837799, 524, '2974984576'),
        (12327829503, 543, '20722398914405051728')]) AS known)
) AS known USING number
WHERE chains.steps != known.steps OR chains.highest != known.highest
ORDER BY number
