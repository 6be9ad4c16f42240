-- Passes a block on if its generation is still the highest of its topic, otherwise fails the insert. ClickHouse checks this when it has
-- the whole block, right before it writes it.
CREATE MATERIALIZED VIEW IF NOT EXISTS /* inbox */_view TO /* table */ AS
SELECT /* columns */
FROM /* inbox */
WHERE throwIf(generation NOT IN (SELECT max(generation) FROM loader_leases GROUP BY topic), 'roundhouse: the lease was taken over') = 0
