-- A condition that fails the statement if its generation is not the latest one of its topic.
throwIf({generation:UInt32} NOT IN (SELECT max(generation) FROM loader_leases GROUP BY topic), 'roundhouse: the lease was taken over') = 0
