-- A beat of the lease's holder.
INSERT INTO loader_beats (generation, beat, released)
SELECT {generation:UInt32}, {beat:UInt64}, {released:Bool}
WHERE throwIf({generation:UInt32} NOT IN (SELECT max(generation) FROM loader_leases GROUP BY topic), 'roundhouse: the lease was taken over') = 0
