"""Uses the embedded ClickHouse with clickhouse-connect. Arguments: HOST PORT DATABASE. Fails with an exception."""

import logging
import sys
from datetime import datetime, timezone
from decimal import Decimal

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

# The client logs an incomplete body before it raises the error.
logging.disable(logging.CRITICAL)
host, port, database = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = clickhouse_connect.get_client(host=host, port=port)


def fails(statement, *expected, **options):
    try:
        client.query(statement, **options).result_rows
    except DatabaseError as error:
        missing = [text for text in expected if text not in str(error)]
        assert not missing, f"{missing} not in {error}"
    else:
        raise AssertionError(f"{statement} did not fail")


# DDL, and a database per request.
client.command(f"CREATE DATABASE {database}")
client.command(
    f"CREATE TABLE {database}.rounds (id UInt64, player String, bet Nullable(Decimal(18, 4)), at DateTime64(3, 'UTC'))"
    " ENGINE = MergeTree ORDER BY id"
)
assert client.command(f"EXISTS TABLE {database}.rounds") == 1

# Insert in the Native format, with the client's default compression.
at = datetime(2019, 10, 22, 8, 20, 41, 123000, tzinfo=timezone.utc)
rows = [[n, f"spieler-{n % 97}-ü", None if n % 3 else Decimal(n) / 8, at] for n in range(50_000)]
summary = client.insert("rounds", rows, database=database, column_names=["id", "player", "bet", "at"])
assert summary.written_rows == 50_000, summary.summary
client.raw_insert(f"{database}.rounds", ["id", "player"], b'{"id":50000,"player":"raw"}\n', fmt="JSONEachRow")

# Select: values, types, streams, settings, compression.
result = client.query(f"SELECT * FROM {database}.rounds ORDER BY id LIMIT 4", query_tz="UTC", tz_mode="aware")
assert result.result_rows[:4] == [tuple(row) for row in rows[:4]], result.result_rows
assert result.column_names == ("id", "player", "bet", "at")
with client.query_row_block_stream(f"SELECT id FROM {database}.rounds ORDER BY id") as blocks:
    assert [row[0] for block in blocks for row in block] == list(range(50_001))
assert len(client.query("SELECT number, repeat('x', 40) FROM numbers(300000)").result_rows) == 300_000
assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 3}) == 3
assert client.raw_query("SELECT 1 AS a", fmt="JSONEachRow") == b'{"a":1}\n'

# Parameters, bound by the server and by the client.
server_side = client.query(
    f"SELECT count() FROM {database}.rounds WHERE id < {{most:UInt64}} AND player = {{player:String}}",
    parameters={"most": 1000, "player": "spieler-5-ü"},
)
assert server_side.result_rows == [(11,)], server_side.result_rows
awkward = "it's \\ a\ttab\nand a 'quote'"
assert client.query("SELECT {v:String}", parameters={"v": awkward}).result_rows == [(awkward,)]
assert client.query("SELECT %(v)s", parameters={"v": awkward}).result_rows == [(awkward,)]

# A session keeps temporary tables and settings; another client does not see them.
client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
client.insert("mine", [[7]], column_names=["a"])
assert client.query("SELECT a FROM mine").result_rows == [(7,)]
other = clickhouse_connect.get_client(host=host, port=port, database=database)
assert other.query("SELECT count() FROM rounds").result_rows == [(50_001,)]
try:
    other.query("SELECT a FROM mine")
    raise AssertionError("a temporary table left its session")
except DatabaseError as error:
    assert "UNKNOWN_TABLE" in str(error)

# Errors, at the start of an answer and in the middle of a stream.
fails("SELECT * FROM nowhere", "60", "UNKNOWN_TABLE")
fails("SELEC 1", "62", "SYNTAX_ERROR")
late = "SELECT throwIf(number = 3000000, 'too late') FROM numbers(4000000)"
fails(late, "too late", settings={"wait_end_of_query": 0})
fails("SELECT sleepEachRow(1) FROM numbers(5)", "TIMEOUT_EXCEEDED", settings={"max_execution_time": 1, "max_block_size": 1})
try:
    clickhouse_connect.get_client(host=host, port=port, username="somebody", password="secret")
    raise AssertionError("a wrong password was accepted")
except DatabaseError as error:
    assert "AUTHENTICATION_FAILED" in str(error) or "516" in str(error), error

assert client.query("SELECT 1").result_rows == [(1,)]
print("ok")
