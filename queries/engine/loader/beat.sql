-- A beat of the lease's holder.
INSERT INTO loader_beats (generation, beat, released)
SELECT {generation:UInt32}, {beat:UInt64}, {released:Bool}
WHERE /* fence */
