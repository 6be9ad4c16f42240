-- Who holds a generation. After a crash of ClickHouse it may be nobody, although the token is stored.
SELECT topic, process FROM loader_leases WHERE generation = {generation:UInt32}
