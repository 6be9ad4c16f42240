-- ClickHouse's own consumer of the dead-letter topic. Each message is a rejected line; its headers say what is wrong with it.
CREATE TABLE kafka_rejects
(
    raw String
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = {brokers:String},
    kafka_topic_list = {topic:String},
    kafka_group_name = {group:String},
    kafka_format = 'RawBLOB',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_flush_interval_ms = 1000,
    kafka_max_block_size = 65536,
    kafka_poll_timeout_ms = 50
COMMENT 'The dead-letter topic, consumed by ClickHouse; do not read from this table'
