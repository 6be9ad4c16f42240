-- The engines of all tables of the database, whether rows expire (TTL), and whether a block with the same token is stored once.
SELECT
    name,
    engine,
    position(engine_full, ' TTL ') > 0 AS expires,
    engine LIKE 'Replicated%' OR match(engine_full, 'non_replicated_deduplication_window = [1-9]') AS deduplicates
FROM system.tables
WHERE database = currentDatabase()
