-- The number of rows that ClickHouse expects to read, estimated from its index alone.
EXPLAIN ESTIMATE SELECT created_hour FROM /* source */ WHERE /* filters */
