//! Price events, as files of several formats.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use roundhouse::domain::columns::Columns;
use roundhouse::ingest::format::FileFormat;
use roundhouse::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink};
use roundhouse::wire::avro;

/// Their columns.
const SCHEMA: &str = r#"{"type":"record","name":"Price","fields":[
    {"name":"base","type":"string","min_length":1,"max_length":32,"aliases":["baseCurrency"]},
    {"name":"quote","type":"string","min_length":1,"max_length":32,"aliases":["quoteCurrency"]},
    {"name":"exchange","type":"string","min_length":1,"max_length":64},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":18}},
    {"name":"base_volume_24h","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":18}],
     "aliases":["baseVolumeLast24h"]},
    {"name":"quote_volume_24h","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":18}],
     "aliases":["quoteVolumeLast24h"]},
    {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"},"aliases":["timestampInMs"]}]}"#;

/// Bytes of a piece, as the body of a request arrives.
const PIECE_BYTES: usize = 65_536;

/// Returns the columns of price events.
pub fn columns() -> Arc<Columns> {
    Arc::new(Columns::parse(SCHEMA).expect("the schema"))
}

/// Returns the same events as CSV, as NDJSON and as a JSON array.
pub fn files(rows: u64) -> [(&'static str, String); 3] {
    let mut csv = "base,quote,exchange,price,base_volume_24h,quote_volume_24h,timestamp\n".to_owned();
    let mut lines = String::new();
    for row in 0..rows {
        let base = ["BTC", "ETH", "SOL", "DOGE", "XRP"][(row % 5) as usize];
        let quote = ["USDT", "EUR", "USD"][(row % 3) as usize];
        let exchange = ["binance", "kraken", "coinbase"][(row / 3 % 3) as usize];
        let (whole, cents, volume) = (65_000 + row % 1000, row % 100, 123 + row % 50);
        let millis = 1_732_800_000_000 + row as i64;
        let time = roundhouse::domain::timestamp::format(millis);
        csv += &format!("{base},{quote},{exchange},{whole}.{cents:02},{volume}.4,8.02e6,{time}\n");
        lines += &format!(
            "{{\"baseCurrency\":\"{base}\",\"quoteCurrency\":\"{quote}\",\"exchange\":\"{exchange}\",\"price\":\"{whole}.{cents:02}\",\
             \"baseVolumeLast24h\":{volume}.4,\"quoteVolumeLast24h\":8.02e6,\"timestampInMs\":{millis}}}\n"
        );
    }
    let array = format!("[{}]", lines.trim_end().replace('\n', ","));
    [("CSV", csv), ("NDJSON", lines), ("JSON array", array)]
}

/// Encodes rows, and counts them.
struct Encoded {
    columns: Arc<Columns>,
    message: Vec<u8>,
    rows: u64,
}

impl RowSink for Encoded {
    type Error = Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Infallible> {
        self.message.clear();
        avro::encode(1, &self.columns, row.values, row.buffer, &mut self.message);
        black_box(&self.message);
        self.rows += 1;
        Ok(())
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Infallible> {
        unreachable!("{reject:?} {raw}")
    }
}

/// Reads a file to Avro messages, and returns the number of its rows.
pub fn to_avro(columns: &Arc<Columns>, file: &str) -> u64 {
    let options = ReadOptions { format: FileFormat::Any, ..ReadOptions::default() };
    let mut reader = RowReader::new(columns.clone(), options, 1 << 20);
    let mut encoded = Encoded { columns: columns.clone(), message: Vec::new(), rows: 0 };
    for piece in file.as_bytes().chunks(PIECE_BYTES) {
        reader.push(piece, false, &mut encoded).expect("a file");
    }
    reader.push(&[], true, &mut encoded).expect("a file");
    encoded.rows
}
