-- How many rows ClickHouse expects to read, by its index alone.
EXPLAIN ESTIMATE SELECT created_hour FROM /* source */ WHERE /* filters */
