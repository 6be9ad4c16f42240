//! The comparison, done by ClickHouse: the rows of a job's table against what is stored, both ways.
//!
//! It goes through the ids range by range, in their order and not the file's, so that no query holds more than a range in
//! memory. A quick look tells whether all of a range match. Where they do not, an outcome is kept for each row of the file, of
//! which counts and differences are made: they agree even if rows arrive meanwhile. What a range adds to an hour is kept in a table, for [`super::hours`].

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::differences::{Differences, Kinds};
use super::hours::Comparison;
use super::load;
use super::queue::Progress;
use super::report::{Difference, Hours, Kind, Phase, SAMPLE};
use super::tables::{Range, Tables, in_time};
use crate::domain::columns::Columns;
use crate::warehouse::client::WarehouseError;

/// Rows of a range. Rows of one id are never divided.
const RANGE_ROWS: u64 = 500_000;

/// The share of a job's progress after which all rows are compared.
pub(super) const SHARE: f64 = 0.85;

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
    ids: u64,
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

/// A range that is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparedRange {
    pub(super) range: Range,
    /// How many rounds it has, all of the file; none if not all of its rows match.
    rounds: Option<u64>,
}

impl ComparedRange {
    /// Whether rounds that are not in the file may be stored in it now. It is cheaper to count them than to look for others.
    pub(super) async fn may_hold_others(self, tables: &Tables) -> Result<bool, WarehouseError> {
        let Some(rounds) = self.rounds else { return Ok(true) };
        let query = tables.query(include_str!("../../queries/reconcile/stored_rounds.sql"));
        let stored: u64 = in_time(self.range.of(query).fetch_one()).await?;
        Ok(stored != rounds)
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
    /// Differences of all kinds in the list.
    pub(super) listed: u64,
    pub(super) sample: Vec<Difference>,
    pub(super) hours: Hours,
    /// Whether no rows arrived while the hours were looked at, or they made no difference.
    pub(super) settled: bool,
}

/// Compares `rows` rows that were loaded, and the rounds of `uploads`.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn compare(
    tables: &Tables,
    rows: u64,
    uploads: &[Uuid],
    columns: &Columns,
    arrivals: &Arrivals,
    progress: &Progress,
) -> Result<Compared, WarehouseError> {
    progress.enter(Phase::ComparingRows);
    let mut compared = Compared { settled: true, ..Compared::default() };
    let mut ranges = Vec::new();
    let mut first = 0;
    let mut done = 0;
    let mut part = Outcomes::default();
    loop {
        let (range, is_last) = next_range(tables, first).await?;
        part = match rows {
            0 => Outcomes::default(),
            // Where one range has differences, the next is likely to have some too: no quick look at it.
            _ => compare_rows(tables, range, part.differences() == 0).await?,
        };
        compared.matched += part.matched;
        compared.different += part.different;
        compared.missing += part.missing;
        compared.duplicate_in_file += part.duplicate_in_file;
        compared.contradictory_in_file += part.contradictory_in_file;
        done += part.rows();
        // Of each id of a range that matches there is one round.
        let rounds = (rows > 0 && part.differences() == 0).then_some(part.matched);
        let compared_range = ComparedRange { range, rounds };
        if compared_range.may_hold_others(tables).await? {
            keep_unexpected(tables, range, uploads).await?;
        }
        ranges.push(compared_range);
        progress.reach(load::SHARE + (SHARE - load::SHARE) * done as f64 / rows.max(1) as f64);
        if is_last {
            break;
        }
        first = range.last + 1;
    }
    if rows > 0 {
        progress.enter(Phase::ComparingHours);
        let comparison = Comparison { tables, ranges: &ranges, arrivals, progress };
        (compared.hours, compared.settled) = comparison.settled().await?;
    }
    let found = Differences::new(tables.warehouse(), tables.job(), tables.attempt());
    compared.unexpected = found.count(Kinds::only(Kind::Unexpected)).await?;
    compared.listed = found.count(Kinds::ALL).await?;
    compared.sample = found.sample(columns, SAMPLE).await?;
    Ok(compared)
}

/// Returns the range that begins with an id, and whether it is the last one.
async fn next_range(tables: &Tables, first: u64) -> Result<(Range, bool), WarehouseError> {
    #[derive(Row, Deserialize)]
    struct NextRange {
        last_id: u64,
        rows: u64,
    }
    let query = tables.query(include_str!("../../queries/reconcile/next_range.sql"));
    let next: NextRange = in_time(query.param("first", first).param("size", RANGE_ROWS).fetch_one()).await?;
    if next.rows < RANGE_ROWS || next.last_id == u64::MAX {
        // The last one goes on behind the file's ids: rounds of others may be there.
        return Ok((Range { first, last: u64::MAX }, true));
    }
    Ok((Range { first, last: next.last_id }, false))
}

/// Compares the rows of a range, keeps those that differ, and adds up the hours of all. The hours come last: which rows are in
/// their sums depends on the outcomes.
async fn compare_rows(tables: &Tables, range: Range, look: bool) -> Result<Outcomes, WarehouseError> {
    let outcomes = match look {
        true => match_rows(tables, range).await?,
        false => None,
    };
    let outcomes = match outcomes {
        Some(outcomes) => outcomes,
        None => keep_outcomes(tables, range).await?,
    };
    tables.execute(range.of(tables.query(include_str!("../../queries/reconcile/file_hours.sql")))).await?;
    Ok(outcomes)
}

/// Looks whether all rows of a range match; none if not.
async fn match_rows(tables: &Tables, range: Range) -> Result<Option<Outcomes>, WarehouseError> {
    let query = range.of(tables.query(include_str!("../../queries/reconcile/match_rows.sql")));
    let Pairs { pairs, ids, matched } = in_time(query.fetch_one()).await?;
    let is_match = pairs == ids && matched == pairs;
    Ok(is_match.then(|| Outcomes { matched, ..Outcomes::default() }))
}

/// Keeps an outcome for each row of a range, and the rows that differ.
async fn keep_outcomes(tables: &Tables, range: Range) -> Result<Outcomes, WarehouseError> {
    let query = |sql| range.of(tables.query(sql));
    tables.execute(query(include_str!("../../queries/reconcile/compare_rows.sql"))).await?;
    let count = query(include_str!("../../queries/reconcile/count_outcomes.sql"));
    let outcomes: Outcomes = in_time(count.fetch_one()).await?;
    if outcomes.differences() > 0 {
        tables.execute(query(include_str!("../../queries/reconcile/row_differences.sql"))).await?;
    }
    Ok(outcomes)
}

/// Keeps the rounds of a range that came with one of the uploads and are not in the file.
async fn keep_unexpected(tables: &Tables, range: Range, uploads: &[Uuid]) -> Result<(), WarehouseError> {
    if uploads.is_empty() {
        return Ok(());
    }
    let uploads: Vec<String> = uploads.iter().map(Uuid::to_string).collect();
    let query = range.of(tables.query(include_str!("../../queries/reconcile/unexpected.sql")));
    tables.execute(query.param("uploads", uploads)).await
}
