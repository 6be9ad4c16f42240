-- Removes the listed rows of an aggregate table if their sums are zero: readers see no difference.
ALTER TABLE /* aggregate */ DELETE
WHERE /* group_key */ IN (SELECT tuple(/* each group: `$name` */) FROM {removals:Identifier}) AND /* each sum and: `$name` = 0 */
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
