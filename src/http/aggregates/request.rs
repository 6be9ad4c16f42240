//! The request: filters, order and page.

use serde_json::json;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::Type;

use super::cursor;
use crate::domain::timestamp;
use crate::domain::value::ValueError;
use crate::http::format::Format;
use crate::http::parameters::describe::{one_of, text};
use crate::http::parameters::values::{Value, any, flag, limit, whole};
use crate::http::parameters::{Parameter, query};
use crate::http::problem::Problem;
use crate::warehouse::aggregates::{Filter, Order, Page, SortKey};

/// Most values of one repeatable parameter.
const MAX_VALUES: usize = 100;

/// Most characters of a player's id.
const MAX_PLAYER_CHARACTERS: usize = 128;

/// Most rows to skip, since each of them has to be read. A cursor has no such limit.
const MAX_SKIP: u64 = 1_000_000;

query! {
    /// The parameters of `GET /aggregates`.
    pub struct AggregatesQuery {
        pub(super) filters: Filters,
        pub(super) page: PageQuery,
        /// Format of the rows. Without it, the `Accept` header decides; without both it is JSON
        pub(super) format: Option<Format> = Format::parameter(),
        /// In CSV: put an apostrophe before each cell that a spreadsheet would read as a formula
        pub(super) escape_formulas: bool = flag(),
    }
}

query! {
    /// Which rows.
    pub struct Filters {
        /// Only these players
        player_id: Vec<String> = player().repeated(MAX_VALUES),
        /// Only these games
        game_id: Vec<u64> = game().repeated(MAX_VALUES),
        /// From this date or time (inclusive)
        date_from: Option<u32> = time(0, "1970-01-01", "2019-10-22"),
        /// Until this date (inclusive) or this time (exclusive)
        date_to: Option<u32> = time(1, "2105-12-31", "2019-10-22T09:00:00Z"),
    }
}

query! {
    /// Which page of them.
    pub struct PageQuery {
        /// Rows of a page
        limit: u64 = limit(100, 10_000),
        /// Rows to skip. More than 0 cannot be combined with `cursor`, which is faster
        skip: u64 = whole(0, MAX_SKIP, "; follow links.next to go further").or(0),
        /// The `next_cursor` of the page before, with the same filters and order; empty for the first page
        cursor: String = any(text().pattern(Some("^[A-Za-z0-9_-]*$"))).or(""),
        /// Sort column; prefix with `-` for descending order
        sort: Order = sort(),
    }
}

impl Filters {
    /// Repeated values count once.
    ///
    /// # Errors
    /// The time is empty.
    pub(super) fn into_filter(self) -> Result<Filter, Problem> {
        let (mut players, mut games) = (self.player_id, self.game_id);
        players.sort_unstable();
        players.dedup();
        games.sort_unstable();
        games.dedup();
        let (from, before) = (self.date_from, self.date_to);
        if let (Some(from), Some(before)) = (from, before)
            && from >= before
        {
            return Err(Problem::must_be("date_to", "later than date_from"));
        }
        Ok(Filter { players, games, from, before })
    }
}

impl PageQuery {
    /// The page of the rows that a filter selects.
    ///
    /// # Errors
    /// The cursor is malformed, or belongs to another filter or order, or there are rows to skip too.
    pub(super) fn after_cursor(self, filter: &Filter) -> Result<Page, Problem> {
        let (limit, order) = (self.limit, self.sort);
        match (self.skip, self.cursor.as_str()) {
            (skip, "") => Ok(Page { limit, skip, order, after: None }),
            (0, cursor) => {
                Ok(Page { limit, skip: 0, order, after: Some(cursor::decode(cursor, filter, order)?) })
            }
            _ => Err(Problem::parameter("skip", "it cannot be combined with cursor")),
        }
    }
}

fn player() -> Value<String> {
    let schema = text().min_length(Some(1)).max_length(Some(MAX_PLAYER_CHARACTERS));
    Value::new(schema, |text| match text.chars().count() {
        1..=MAX_PLAYER_CHARACTERS => Ok(text.to_owned()),
        _ => Err(format!("1 to {MAX_PLAYER_CHARACTERS} characters long")),
    })
}

fn game() -> Value<u64> {
    let what = || format!("a whole number from 0 to {}", u64::MAX);
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0));
    Value::new(schema, move |text| text.parse().map_err(|_| what()))
}

/// A date or a time from 1970 to 2105, as [`seconds`]; without a zone it is in UTC. `bound`: the same as no limit.
fn time(days: i64, bound: &str, example: &str) -> Parameter<Option<u32>> {
    let pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?$";
    let schema = text().pattern(Some(pattern)).default(Some(json!(bound))).examples([json!(example)]);
    Value::new(schema, move |text| seconds(text, days)).optional()
}

/// A date or a time as seconds since 1970, rounded up. A date is its first moment, or that of the day `days` later.
fn seconds(text: &str, days: i64) -> Result<u32, String> {
    let millis = match text.len() {
        10 => {
            timestamp::parse(format!("{text} 00:00:00").as_bytes()).map(|millis| millis + days * 86_400_000)
        }
        _ => timestamp::parse(text.as_bytes()),
    };
    let out_of_range = || "between 1970 and 2105".to_owned();
    let millis = millis.map_err(|error| match error {
        ValueError::TimestampOutOfRange => out_of_range(),
        _ => "a date such as 2019-10-22, or a time such as 2019-10-22T08:20:41Z".to_owned(),
    })?;
    let seconds = u32::try_from(millis.div_euclid(1000) + i64::from(millis % 1000 > 0));
    seconds.map_err(|_| out_of_range())
}

/// The columns to sort by.
const SORT_KEYS: [(&str, SortKey); 3] =
    [("created_hour", SortKey::CreatedHour), ("player_id", SortKey::Player), ("game_id", SortKey::Game)];

fn sort() -> Parameter<Order> {
    let names = ["", "-"].into_iter().flat_map(|sign| SORT_KEYS.map(|(name, _)| format!("{sign}{name}")));
    let read = |text: &str| {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let found = SORT_KEYS.iter().find(|(known, _)| *known == name);
        found.map(|(_, key)| Order { key: *key, descending }).ok_or_else(|| {
            "created_hour, player_id or game_id; prefix with - for descending order".to_owned()
        })
    };
    Value::new(one_of(names), read).or("created_hour")
}
