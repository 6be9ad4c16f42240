-- The differences of a job in a range of kinds. Values are text, in the order of the columns; times are milliseconds since 1970. Stored
-- text that is not UTF-8, which only other programs write, gets replacement characters.
SELECT
    toString(kind) AS kind,
    line,
    game_instance_id,
    [
        toString(toUnixTimestamp64Milli(file_created_timestamp)), file_user_id, toString(file_game_id),
        toString(file_real_amount_bet), toString(file_bonus_amount_bet), toString(file_real_amount_win),
        toString(file_bonus_amount_win), file_game_name, file_provider
    ]::Array(Nullable(String)) AS file,
    [
        toString(toUnixTimestamp64Milli(stored_created_timestamp)), toValidUTF8(stored_user_id), toString(stored_game_id),
        toString(stored_real_amount_bet), toString(stored_bonus_amount_bet), toString(stored_real_amount_win),
        toString(stored_bonus_amount_win), toValidUTF8(stored_game_name), toValidUTF8(stored_provider)
    ]::Array(Nullable(String)) AS stored,
    toString(stored_upload_id) AS upload_id,
    stored_line AS upload_line,
    toUnixTimestamp64Milli(toDateTime64(created_hour, 3, 'UTC')) AS created_hour,
    toValidUTF8(d.user_id) AS user_id,
    game_id,
    [
        toString(expected_rounds_played), toString(expected_real_amount_bet), toString(expected_bonus_amount_bet),
        toString(expected_real_amount_win), toString(expected_bonus_amount_win)
    ]::Array(Nullable(String)) AS expected,
    [
        toString(aggregated_rounds_played), toString(aggregated_real_amount_bet), toString(aggregated_bonus_amount_bet),
        toString(aggregated_real_amount_win), toString(aggregated_bonus_amount_win)
    ]::Array(Nullable(String)) AS aggregated
FROM reconcile_differences AS d
WHERE d.job_id = {job:UUID} AND d.attempt = {attempt:UUID} AND d.kind BETWEEN {first_kind:Int8} AND {last_kind:Int8}
