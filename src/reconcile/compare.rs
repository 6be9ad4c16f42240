//! The comparison of the rows of a job's table with the stored rows, in both directions. ClickHouse does it.
//!
//! It processes ranges of keys, in the order of the key and not of the file. So no query holds more than one range in memory. A quick query
//! says whether all rows of a range match. If not, an outcome is stored for each row of the file. Counts and differences come from these
//! outcomes, so they agree even if rows are loaded in the meantime. What a range adds to sums is stored in tables, for [`super::sums`].

use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::differences::{Differences, Kinds};
use super::queue::{Progress, ROWS_COMPARED, ROWS_LOADED};
use super::range::Range;
use super::report::{Difference, Hours, Kind, Phase, SAMPLE};
use super::sums::{ComparedRange, Comparison};
use super::tables::{Tables, in_time};
use crate::warehouse::client::WarehouseError;

/// Rows of a range. Rows with the same key are always in the same range.
const RANGE_ROWS: u64 = 500_000;

/// What `count_outcomes.sql` returns.
#[derive(Clone, Copy, Debug, Default, Row, Deserialize)]
struct Outcomes {
    matched: u64,
    different: u64,
    missing: u64,
    duplicate_in_file: u64,
    contradictory_in_file: u64,
}

/// What `match_rows.sql` returns.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
struct Pairs {
    pairs: u64,
    keys: u64,
    matched: u64,
}

impl Outcomes {
    fn differences(self) -> u64 {
        self.different + self.missing + self.duplicate_in_file + self.contradictory_in_file
    }

    fn rows(self) -> u64 {
        self.matched + self.differences()
    }
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) matched: u64,
    pub(super) different: u64,
    pub(super) missing: u64,
    pub(super) duplicate_in_file: u64,
    pub(super) contradictory_in_file: u64,
    pub(super) unexpected: u64,
    /// How many differences of all kinds are stored.
    pub(super) listed: u64,
    pub(super) sample: Vec<Difference>,
    /// The sums of each aggregate table, in the order of [`Dataset::compared`](crate::dataset::Dataset::compared).
    pub(super) sums: Vec<Hours>,
    /// Whether no rows were loaded while the sums were compared, or none differed.
    pub(super) settled: bool,
}

/// Compares the `rows` loaded rows, and the stored rows of `uploads`.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn compare(
    tables: &Tables,
    rows: u64,
    uploads: &[Uuid],
    arrivals: &Arrivals,
    progress: &Progress,
) -> Result<Compared, WarehouseError> {
    progress.enter(Phase::ComparingRows);
    let mut compared = Compared { settled: true, ..Compared::default() };
    let mut ranges = Vec::new();
    let mut done = 0;
    let mut part = Outcomes::default();
    for number in 0.. {
        let range = Range::find(tables, number, RANGE_ROWS).await?;
        part = match rows {
            0 => Outcomes::default(),
            // If a range has differences, the next one probably has some, too: it gets no quick comparison.
            _ => compare_rows(tables, range, part.differences() == 0).await?,
        };
        compared.matched += part.matched;
        compared.different += part.different;
        compared.missing += part.missing;
        compared.duplicate_in_file += part.duplicate_in_file;
        compared.contradictory_in_file += part.contradictory_in_file;
        done += part.rows();
        let compared_range = ComparedRange {
            range,
            // In a range that matches there is one stored row for each key.
            rows: (rows > 0 && part.differences() == 0).then_some(part.matched),
            has_contradictory: part.contradictory_in_file > 0,
        };
        if rows > 0 {
            compared_range.add_file(tables).await?;
        }
        if compared_range.may_hold_others(tables).await? {
            keep_unexpected(tables, range, uploads).await?;
        }
        ranges.push(compared_range);
        progress.reach(ROWS_LOADED + (ROWS_COMPARED - ROWS_LOADED) * done as f64 / rows.max(1) as f64);
        if range.is_last() {
            break;
        }
    }
    compared.sums = vec![Hours::default(); tables.compared().count()];
    if rows > 0 {
        progress.enter(Phase::ComparingAggregates);
        let comparison = Comparison { tables, ranges: &ranges, arrivals, progress };
        (compared.sums, compared.settled) = comparison.settled().await?;
    }
    let found =
        Differences::new(tables.warehouse(), Arc::clone(tables.dataset()), tables.job(), tables.attempt());
    compared.unexpected = found.count(Kinds::only(Kind::Unexpected)).await?;
    compared.listed = found.count(Kinds::ALL).await?;
    compared.sample = found.sample(SAMPLE).await?;
    Ok(compared)
}

/// Compares the rows of a range, and stores those that differ.
async fn compare_rows(tables: &Tables, range: Range, look: bool) -> Result<Outcomes, WarehouseError> {
    let outcomes = match look {
        true => match_rows(tables, range).await?,
        false => None,
    };
    match outcomes {
        Some(outcomes) => Ok(outcomes),
        None => keep_outcomes(tables, range).await,
    }
}

/// Returns the outcomes of a range if all of its rows match, or else none.
async fn match_rows(tables: &Tables, range: Range) -> Result<Option<Outcomes>, WarehouseError> {
    let query = range.query(tables, include_str!("../../queries/engine/reconcile/match_rows.sql"));
    let Pairs { pairs, keys, matched } = in_time(query.fetch_one()).await?;
    let is_match = pairs == keys && matched == pairs;
    Ok(is_match.then(|| Outcomes { matched, ..Outcomes::default() }))
}

/// Stores an outcome for each row of a range, and the rows that differ.
async fn keep_outcomes(tables: &Tables, range: Range) -> Result<Outcomes, WarehouseError> {
    let query = |sql| range.query(tables, sql);
    tables.execute(query(include_str!("../../queries/engine/reconcile/compare_rows.sql"))).await?;
    let count = query(include_str!("../../queries/engine/reconcile/count_outcomes.sql"));
    let outcomes: Outcomes = in_time(count.fetch_one()).await?;
    if outcomes.differences() > 0 {
        tables.execute(query(include_str!("../../queries/engine/reconcile/row_differences.sql"))).await?;
    }
    Ok(outcomes)
}

/// Stores the rows of a range that one of the uploads brought and that are not in the file.
async fn keep_unexpected(tables: &Tables, range: Range, uploads: &[Uuid]) -> Result<(), WarehouseError> {
    if uploads.is_empty() {
        return Ok(());
    }
    let uploads: Vec<String> = uploads.iter().map(Uuid::to_string).collect();
    let query = range.query(tables, include_str!("../../queries/engine/reconcile/unexpected.sql"));
    tables.execute(query.param("uploads", uploads)).await
}
