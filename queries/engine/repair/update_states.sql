-- Gives rows of an aggregate table the columns that the view makes. Running it again changes nothing.
ALTER TABLE /* aggregate */ UPDATE
    /* each other: `$name` = joinGet({qualified_values:String}, '$name', toString($(group_key))) */
WHERE /* group_key */ IN (SELECT tuple(/* each group: `$name` */) FROM {values:Identifier})
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
