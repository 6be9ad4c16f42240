-- Stores rows again with the values of the file, where the table is ordered by one of these: such a column cannot be updated. Views leave
-- recounted rows out. The condition is in a subquery: outside, the names would mean the new values.
INSERT INTO /* table */
SELECT * REPLACE (
    /* each value: joinGet({qualified_values:String}, '$name', toString($(row_key))) AS `$name`, */
    true AS recounted
)
FROM
(
    SELECT *
    FROM /* table */
    WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM {values:Identifier})
        AND NOT (/* each value and: `$name` <=> joinGet({qualified_values:String}, '$name', toString($(row_key))) */)
        AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
    LIMIT 1 BY /* each key: `$name` */
)
SETTINGS insert_deduplicate = 0
