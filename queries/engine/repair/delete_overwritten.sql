-- Deletes the rows that were stored again with the values of the file: those that have others. Running it again changes nothing.
ALTER TABLE /* table */ DELETE
WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM {values:Identifier})
    AND NOT (/* each value and: `$name` <=> joinGet({qualified_values:String}, '$name', toString($(row_key))) */)
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
