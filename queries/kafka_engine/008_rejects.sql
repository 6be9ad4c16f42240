-- ClickHouse's own consumer of the dead-letter topic: each message is a line, what is wrong with it is in the headers.
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
COMMENT 'The dead-letter topic, as ClickHouse consumes it: not to be read'
