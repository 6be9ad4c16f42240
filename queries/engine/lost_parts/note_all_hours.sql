-- Records every hour, player and game that has rounds or aggregates, as input for queries/engine/repair/hour_differences.sql.
INSERT INTO reconcile_repair_hours (job_id, created_hour, user_id, game_id, in_file)
SELECT {job:UUID} AS job_id, hour, player, game, false
FROM
(
    SELECT DISTINCT toStartOfHour(created_timestamp) AS hour, user_id AS player, game_id AS game FROM game_rounds
    UNION DISTINCT
    SELECT DISTINCT created_hour AS hour, user_id AS player, game_id AS game FROM hourly_aggregates
)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
