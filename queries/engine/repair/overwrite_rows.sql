-- Gives rows the values of the file. Running it again changes nothing.
ALTER TABLE /* table */ UPDATE
    /* each value: `$name` = joinGet({qualified_values:String}, '$name', toString($(row_key))) */
WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM {values:Identifier})
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
