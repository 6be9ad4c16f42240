-- Every round that arrives, with where in Kafka it came from. Nothing looks whether it is there already.
CREATE MATERIALIZED VIEW kafka_rounds_view TO game_rounds AS
SELECT * EXCEPT (is_valid, error, raw_message, kafka_topic), {epoch:UInt32} AS kafka_epoch
FROM kafka_rounds_messages
WHERE is_valid
