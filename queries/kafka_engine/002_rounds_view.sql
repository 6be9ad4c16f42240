-- Every round that arrives, with where in Kafka it came from. Nothing looks whether it is there already.
CREATE MATERIALIZED VIEW kafka_rounds_view TO game_rounds AS
SELECT
    created_timestamp,
    game_instance_id,
    user_id,
    game_id,
    real_amount_bet,
    bonus_amount_bet,
    real_amount_win,
    bonus_amount_win,
    game_name,
    provider,
    upload_id,
    line,
    {epoch:UInt32} AS kafka_epoch,
    toUInt16(_partition) AS kafka_partition,
    toUInt64(_offset) AS kafka_offset
FROM kafka_rounds
WHERE length(_error) = 0
