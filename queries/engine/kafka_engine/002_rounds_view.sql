-- Every round that arrives, with its position in Kafka. Does not check whether the round is already stored.
CREATE MATERIALIZED VIEW kafka_rounds_view TO game_rounds AS
SELECT * EXCEPT (is_valid, error, raw_message, kafka_topic), {epoch:UInt32} AS kafka_epoch
FROM kafka_rounds_messages
WHERE is_valid
