-- Mutations that deleted rows of a row table on purpose, as far as ClickHouse still has them. The rows that they deleted must not come back. The
-- loader's own deletions go by offsets (queries/engine/loader/delete_rounds.sql) and are not counted: it inserts these rows again.
SELECT count()
FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND match(command, '(?i)\\bDELETE\\b|\\b_row_exists\\b')
    AND NOT match(command, '\\bkafka_offset\\b')
