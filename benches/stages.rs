//! Measures each stage from CSV bytes to an Avro message, on one core and without I/O, and compares it with libraries that do the same:
//! `cargo bench --bench stages`, or `make bench` for all benchmarks.

#![allow(clippy::expect_used)]

mod prices;

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use apache_avro::types::{Record as AvroRecord, Value as Datum};
use apache_avro::writer::datum::GenericDatumWriter;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use roundhouse::domain::columns::Columns;
use roundhouse::domain::decimal_mark::DecimalMark;
use roundhouse::domain::value::Value;
use roundhouse::generate;
use roundhouse::ingest::decode::TextDecoder;
use roundhouse::ingest::records::RecordReader;
use roundhouse::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink};
use roundhouse::settings::{Cli, Command, GenerateCommand, GenerateOptions};
use roundhouse::wire::avro;

const SCHEMA: &str = include_str!("../schemas/bets.avsc");
const ROWS: u64 = 100_000;

/// Bytes of a piece, as the body of a request arrives.
const PIECE_BYTES: usize = 65_536;

const MAX_LINE_BYTES: usize = 1 << 20;

/// Returns a generated file, in UTF-16 with a byte order mark.
fn file() -> Vec<u8> {
    let mut bytes = Vec::new();
    generate::bets::write_file(&options(), &mut bytes).expect("a file");
    bytes
}

fn options() -> GenerateOptions {
    use clap::Parser;
    let rows = ROWS.to_string();
    let cli = Cli::try_parse_from(["roundhouse", "generate", "--rows", &rows, "-o", "-"]).expect("options");
    let Command::Generate(arguments) = cli.command else { unreachable!("{:?}", cli.command) };
    match arguments.command() {
        Some(GenerateCommand::Bets(options)) => options,
        other => unreachable!("{other:?}"),
    }
}

fn decoded(file: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    TextDecoder::for_file(file, None).expect("text").decode(file, true, &mut text);
    text
}

/// Keeps a row's values and messages just long enough that the compiler does not optimize them away.
#[derive(Default)]
struct Taken {
    encode: bool,
    columns: Option<Arc<Columns>>,
    message: Vec<u8>,
    rows: u64,
    bytes: u64,
}

impl RowSink for Taken {
    type Error = Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Infallible> {
        if self.encode
            && let Some(columns) = &self.columns
        {
            self.message.clear();
            avro::encode(1, columns, row.values, row.buffer, &mut self.message);
            self.bytes += self.message.len() as u64;
        }
        black_box(row.values);
        self.rows += 1;
        Ok(())
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Infallible> {
        unreachable!("{reject:?} {raw}")
    }
}

fn read(file: &[u8], columns: &Arc<Columns>, encode: bool, decimal: Option<DecimalMark>) -> Taken {
    let options = ReadOptions { decimal, ..ReadOptions::default() };
    let mut reader =
        RowReader::new(columns.clone(), options, MAX_LINE_BYTES).for_upload(uuid::Uuid::from_u128(1 << 100));
    let mut taken = Taken { encode, columns: Some(columns.clone()), ..Taken::default() };
    for piece in file.chunks(PIECE_BYTES) {
        reader.push(piece, false, &mut taken).expect("a file");
    }
    reader.push(&[], true, &mut taken).expect("a file");
    assert_eq!(taken.rows, ROWS);
    taken
}

fn stages(criterion: &mut Criterion) {
    let file = file();
    let text = decoded(&file);
    let columns = Arc::new(Columns::parse(SCHEMA).expect("the schema"));
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);

    let mut out = Vec::new();
    group.bench_function("decode UTF-16", |bench| {
        bench.iter(|| {
            let mut decoder = TextDecoder::for_file(&file, None).expect("text");
            for piece in file.chunks(PIECE_BYTES) {
                out.clear();
                decoder.decode(piece, false, &mut out);
            }
        });
    });
    group.bench_function("records, roundhouse", |bench| {
        bench.iter(|| {
            let mut reader = RecordReader::new(b',', MAX_LINE_BYTES);
            let mut count = 0;
            for piece in text.chunks(PIECE_BYTES) {
                reader.buffer().extend_from_slice(piece);
                while let Some(record) = reader.next(false).expect("records") {
                    black_box(record.bounds(9));
                    count += 1;
                }
            }
            assert_eq!(count, ROWS + 1);
        });
    });
    group.bench_function("records, csv crate", |bench| {
        bench.iter(|| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
            let mut record = csv::ByteRecord::new();
            let mut count = 0;
            while reader.read_byte_record(&mut record).expect("records") {
                black_box(record.get(9));
                count += 1;
            }
            assert_eq!(count, ROWS + 1);
        });
    });

    group.bench_function("decode, records and values", |bench| {
        bench.iter(|| read(&file, &columns, false, None).rows)
    });
    // Here nothing looks for decimal commas; the difference is what that costs.
    group.bench_function("decode, records and values, decimal=point", |bench| {
        bench.iter(|| read(&file, &columns, false, Some(DecimalMark::Point)).rows)
    });
    group.bench_function("decode to encode", |bench| bench.iter(|| read(&file, &columns, true, None).bytes));
    group.finish();
    encoders(criterion, &columns);
}

/// Compares encoding one row's values with this crate's encoder and with apache-avro.
fn encoders(criterion: &mut Criterion, columns: &Columns) {
    let text = b"872de5da2b3c42f0a1b2c3d4e5f60718Book of DeadPlay'n GO";
    let money = |cents: i128| Value::Decimal(cents * 1_000_000);
    let values = [
        Value::Timestamp(1_571_731_241_000),
        Value::Long(20_911),
        Value::Text { start: 0, end: 32 },
        Value::Long(26_264),
        money(50),
        money(0),
        money(120),
        Value::Null,
        Value::Text { start: 32, end: 44 },
        Value::Text { start: 44, end: text.len() },
        Value::Uuid(1 << 100),
        Value::Long(912),
    ];
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let mut message = Vec::new();
    group.bench_function("roundhouse", |bench| {
        bench.iter(|| {
            message.clear();
            avro::encode(1, columns, black_box(&values), text, &mut message);
        });
    });
    let schema = apache_avro::Schema::parse_str(SCHEMA).expect("the schema");
    group.bench_function("apache-avro", |bench| {
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        bench.iter(|| writer.write_value_to_vec(datum(&schema, &values, text)).expect("a datum"));
    });
    group.finish();
}

fn datum<'a>(schema: &'a apache_avro::Schema, values: &[Value], text: &[u8]) -> AvroRecord<'a> {
    let apache_avro::Schema::Record(record) = schema else { unreachable!("a record") };
    let mut datum = AvroRecord::new(schema).expect("a record");
    for (field, value) in record.fields.iter().zip(values) {
        let plain = match *value {
            Value::Null => Datum::Null,
            Value::Long(number) => Datum::Long(number),
            Value::Timestamp(millis) => Datum::TimestampMillis(millis),
            Value::Decimal(unscaled) => Datum::Decimal(unscaled.to_be_bytes().into()),
            Value::Text { .. } => Datum::String(String::from_utf8_lossy(value.text(text)).into_owned()),
            Value::Uuid(id) => Datum::Uuid(uuid::Uuid::from_u128(id)),
            other => unreachable!("no column of bets has {other:?}"),
        };
        let is_union = matches!(field.schema, apache_avro::Schema::Union(_));
        let branch = u32::from(plain != Datum::Null);
        let value = if is_union { Datum::Union(branch, Box::new(plain)) } else { plain };
        datum.put(&field.name, value);
    }
    datum
}

/// Compares the formats of files: price events to Avro.
fn formats(criterion: &mut Criterion) {
    let columns = prices::columns();
    let mut group = criterion.benchmark_group("price events to Avro");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    for (format, file) in prices::files(ROWS) {
        group.bench_function(format, |bench| bench.iter(|| prices::to_avro(&columns, &file)));
    }
    group.finish();
}

criterion_group!(benches, stages, formats);
criterion_main!(benches);
