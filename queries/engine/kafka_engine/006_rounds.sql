-- ClickHouse's own consumer of the topic of rounds. It uses one consumer: a second one would deliver rows twice after each rebalance, and
-- the bottleneck is the decoding of Avro. A message that cannot be decoded becomes a row with an error. The columns of the schema replace
-- the placeholder, each as Nullable, so that the rules in 007_messages_view.sql see the original value.
CREATE TABLE kafka_rounds
(
    /* read columns */
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = {brokers:String},
    kafka_topic_list = {topic:String},
    kafka_group_name = {group:String},
    kafka_format = 'AvroConfluent',
    format_avro_schema_registry_url = {registry:String},
    -- Messages with earlier schemas lack some columns; these become null.
    input_format_avro_allow_missing_fields = 1,
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    -- Rows become visible after one second; the default is 7.5 seconds.
    kafka_flush_interval_ms = 1000,
    kafka_max_block_size = 262144,
    kafka_poll_max_batch_size = 65536,
    kafka_poll_timeout_ms = 50
COMMENT 'The topic of rounds, consumed by ClickHouse; do not read from this table'
