//! Price events of several formats to Avro on one core, against the engine reading the same NDJSON with one thread.

use std::time::Instant;

use roundhouse::dataset::types::column_type;

use crate::harness::server::Server;
use crate::prices;

/// Prints the rows per second of each, the median of `rounds` runs.
pub async fn compare(rows: u64, rounds: usize) {
    let server = Server::start(&[]).await;
    let columns = prices::columns();
    let files = prices::files(rows);
    println!("## Price events to Avro, {rows} rows\n\n| what | rows/s, one thread |\n|---|---|");
    for (format, file) in &files {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            assert_eq!(prices::to_avro(&columns, file), rows);
            times.push(started.elapsed().as_secs_f64());
        }
        print(&format!("{format} to Avro"), rows, times);
    }
    // The engine finds members by the names of the table.
    let list: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", column.names().last().unwrap_or_default(), column_type(column)))
        .collect();
    server.clickhouse(format!("CREATE TABLE events ({}) ENGINE = Null", list.join(", "))).await;
    let url = format!(
        "{}/?database=game_data&max_threads=1&max_insert_threads=1&input_format_parallel_parsing=0&query=INSERT%20INTO%20events%20FORMAT%20JSONEachRow",
        server.addresses.clickhouse_url
    );
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        let answer = client.post(&url).body(files[1].1.clone()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.expect("text"));
        times.push(started.elapsed().as_secs_f64());
    }
    print("NDJSON into ClickHouse (JSONEachRow, table without storage)", rows, times);
    println!();
}

fn print(what: &str, rows: u64, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    println!("| {what} | {:.0} |", rows as f64 / times[times.len() / 2]);
}
