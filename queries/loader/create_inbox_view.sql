-- Passes a block on if its generation is still the highest of its topic, and fails the insert otherwise. ClickHouse looks when it has
-- all of the block, right before it writes it.
CREATE MATERIALIZED VIEW IF NOT EXISTS /* inbox */_view TO /* table */ AS
SELECT /* columns */
FROM /* inbox */
WHERE throwIf(generation NOT IN (SELECT max(generation) FROM loader_leases GROUP BY topic), 'roundhouse: the lease was taken over') = 0
