// Uses the embedded ClickHouse with @clickhouse/client. Arguments: URL DATABASE. Fails with an exception.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { ClickHouseLogLevel, createClient as create } from '@clickhouse/client'

const [url, database] = process.argv.slice(2)
const createClient = (options) => create({ log: { level: ClickHouseLogLevel.OFF }, ...options })
const admin = createClient({ url })

assert.deepEqual(await admin.ping(), { success: true })

// DDL.
await admin.command({ query: `CREATE DATABASE ${database}` })
const compressed = { request: true, response: true }
const client = createClient({ url, database, compression: compressed, session_id: `session-${database}` })
const plain = createClient({ url, database })
await client.command({
  query: 'CREATE TABLE rounds (id UInt64, player String, bet Decimal(18, 4)) ENGINE = MergeTree ORDER BY id',
  clickhouse_settings: { wait_end_of_query: 1 },
})

// Insert: values, and a stream.
const rows = Array.from({ length: 20000 }, (_, id) => ({ id, player: `spieler-${id % 97}-ü`, bet: '0.1' }))
const inserted = await client.insert({ table: 'rounds', values: rows, format: 'JSONEachRow' })
assert.equal(inserted.summary?.written_rows, '20000')
const stream = Readable.from((function* () { for (let id = 20000; id < 30000; id++) yield { id, player: 'p', bet: '0.2' } })())
await plain.insert({ table: 'rounds', values: stream, format: 'JSONEachRow' })

// Select: JSON, a stream of rows, settings.
const total = await client.query({ query: 'SELECT count() AS rows, sum(bet) AS bets FROM rounds', format: 'JSON' })
assert.deepEqual((await total.json()).data, [{ rows: 30000, bets: 4000 }])
for (const each of [client, plain]) {
  const result = await each.query({ query: 'SELECT number FROM numbers(200000)', format: 'JSONEachRow' })
  let count = 0
  for await (const batch of result.stream()) count += batch.length
  assert.equal(count, 200000)
}
const threads = await client.query({ query: "SELECT getSetting('max_threads') AS n", format: 'JSONEachRow', clickhouse_settings: { max_threads: 3 } })
assert.deepEqual(await threads.json(), [{ n: 3 }])

// Parameters.
const awkward = "it's \\ a\ttab\nand a 'quote'"
const bound = await client.query({
  query: 'SELECT {text: String} AS text, {list: Array(UInt32)} AS list, {none: Nullable(String)} AS none, {id: Identifier} FROM rounds WHERE id = 5',
  format: 'JSONEachRow',
  query_params: { text: awkward, list: [1, 2], none: null, id: 'player' },
})
assert.deepEqual(await bound.json(), [{ text: awkward, list: [1, 2], none: null, player: 'spieler-5-ü' }])

// The query id is the one that the client chose.
const named = await plain.query({ query: 'SELECT 1', query_id: `query-${database}` })
assert.equal(named.query_id, `query-${database}`)
assert.equal(named.response_headers['x-clickhouse-format'], 'JSON')
await named.text()

// A session keeps temporary tables.
await client.command({ query: 'CREATE TEMPORARY TABLE mine (a UInt8)' })
await client.insert({ table: 'mine', values: [{ a: 7 }], format: 'JSONEachRow' })
assert.deepEqual(await (await client.query({ query: 'SELECT a FROM mine', format: 'JSONEachRow' })).json(), [{ a: 7 }])
await assert.rejects(plain.query({ query: 'SELECT a FROM mine' }), { code: '60', type: 'UNKNOWN_TABLE' })

// Errors, at the start of an answer and in the middle of a stream.
await assert.rejects(plain.query({ query: 'SELECT * FROM nowhere' }), { code: '60', type: 'UNKNOWN_TABLE' })
await assert.rejects(plain.query({ query: 'selec 1' }), { code: '62', type: 'SYNTAX_ERROR' })
await assert.rejects(createClient({ url, username: 'somebody', password: 'x' }).query({ query: 'SELECT 1' }), { code: '516' })
// The client finds the text of a late exception only if one read returns all of it, which depends on the scheduler. Every try must fail.
const tooLate = "SELECT sipHash64(number) AS hash, throwIf(number = 300000, 'too late') AS n FROM numbers(400000)"
for (const each of [client, plain]) {
  let shown = false
  for (let attempt = 0; attempt < 20 && !shown; attempt++) {
    const late = await each.query({ query: tooLate, format: 'JSONEachRow', clickhouse_settings: { max_block_size: 1000 } })
    await assert.rejects(async () => { for await (const batch of late.stream()) batch.length }, error => {
      shown = /too late/.test(error.message)
      assert.match(error.message, /too late|aborted|error in the stream/)
      return true
    })
  }
  assert.ok(shown, 'the client never showed the exception')
}

// An abandoned query.
const controller = new AbortController()
const abandoned = plain.query({ query: 'SELECT sleepEachRow(1) FROM numbers(100) SETTINGS max_block_size = 1', abort_signal: controller.signal })
controller.abort()
await assert.rejects(abandoned, /abort/i)

await Promise.all([admin, client, plain].map(each => each.close()))
console.log('ok')
