-- Deletes the listed rows, if their parts still exist.
ALTER TABLE /* table */ DELETE
WHERE (_part, _part_offset) IN (SELECT part, part_offset FROM {removals:Identifier})
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
