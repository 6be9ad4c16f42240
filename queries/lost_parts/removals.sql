-- Mutations that took rounds away on purpose, as far as ClickHouse remembers them: what they removed must not come back. The loader
-- itself takes a chunk back by its offsets (queries/loader/delete_rounds.sql), and inserts it again.
SELECT count()
FROM system.mutations
WHERE database = currentDatabase() AND table = 'game_rounds' AND match(command, '(?i)\\bDELETE\\b|\\b_row_exists\\b')
    AND NOT match(command, '\\bkafka_offset\\b')
