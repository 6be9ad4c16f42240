-- ClickHouse's own consumer of the topic of rounds. One consumer: a second one brings rows twice after each rebalance, and
-- what limits it is the decoding of Avro. A message that cannot be decoded is a row with an error instead. The mark is replaced by the
-- columns of the schema, each Nullable: what the rules of 007_messages_view.sql refuse must first be read as it is.
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
    -- Messages of earlier schemas lack some columns: they are null.
    input_format_avro_allow_missing_fields = 1,
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    -- What has arrived is visible after a second; the default is seven and a half.
    kafka_flush_interval_ms = 1000,
    kafka_max_block_size = 262144,
    kafka_poll_max_batch_size = 65536,
    kafka_poll_timeout_ms = 50
COMMENT 'The topic of rounds, as ClickHouse consumes it: not to be read'
