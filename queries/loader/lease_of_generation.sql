-- Who has a generation: after a crash of ClickHouse nobody may have it, though its token is stored.
SELECT topic, process FROM loader_leases WHERE generation = {generation:UInt32}
