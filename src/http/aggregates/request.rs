//! The request: filters, order and page.

use crate::domain::timestamp;
use crate::domain::value::ValueError;
use crate::http::aggregates::cursor;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::warehouse::aggregates::{Filter, Order, Page, SortKey};

/// Most values of one repeatable parameter.
pub const MAX_VALUES: usize = 100;

/// Most characters of a player's id.
pub const MAX_PLAYER_CHARACTERS: usize = 128;

pub const DEFAULT_LIMIT: u64 = 100;
pub const MAX_LIMIT: u64 = 10_000;

/// Most rows to skip, since each of them has to be read. A cursor has no such limit.
pub const MAX_SKIP: u64 = 1_000_000;

/// Takes the filters. Repeated values count once.
pub(super) fn filter(parameters: &mut Parameters) -> Result<Filter, Problem> {
    let mut players = parameters.all("player_id");
    let games = parameters.all("game_id");
    for (name, count) in [("player_id", players.len()), ("game_id", games.len())] {
        if count > MAX_VALUES {
            return Err(Problem::parameter(name, format_args!("it may be given {MAX_VALUES} times at most")));
        }
    }
    let is_id = |id: &String| (1..=MAX_PLAYER_CHARACTERS).contains(&id.chars().count());
    if !players.iter().all(is_id) {
        return Err(Problem::must_be(
            "player_id",
            format_args!("1 to {MAX_PLAYER_CHARACTERS} characters long"),
        ));
    }
    let not_a_game = |_| Problem::must_be("game_id", format_args!("a whole number from 0 to {}", u64::MAX));
    let mut games: Vec<u64> =
        games.iter().map(|id| id.parse().map_err(not_a_game)).collect::<Result<_, _>>()?;
    players.sort_unstable();
    players.dedup();
    games.sort_unstable();
    games.dedup();
    let from = bound(parameters, "date_from", 0)?;
    let before = bound(parameters, "date_to", 1)?;
    if let (Some(from), Some(before)) = (from, before)
        && from >= before
    {
        return Err(Problem::must_be("date_to", "later than date_from"));
    }
    Ok(Filter { players, games, from, before })
}

/// A date or a time as seconds since 1970, rounded up. A date is its first moment, or that of the day `days` later.
fn bound(parameters: &mut Parameters, name: &str, days: i64) -> Result<Option<u32>, Problem> {
    let Some(text) = parameters.one(name)? else { return Ok(None) };
    let millis = match text.len() {
        10 => {
            timestamp::parse(format!("{text} 00:00:00").as_bytes()).map(|millis| millis + days * 86_400_000)
        }
        _ => timestamp::parse(text.as_bytes()),
    };
    let out_of_range = || Problem::must_be(name, "between 1970 and 2105");
    let millis = millis.map_err(|error| match error {
        ValueError::TimestampOutOfRange => out_of_range(),
        _ => Problem::must_be(name, "a date such as 2019-10-22, or a time such as 2019-10-22T08:20:41Z"),
    })?;
    let seconds = u32::try_from(millis.div_euclid(1000) + i64::from(millis % 1000 > 0));
    seconds.map(Some).map_err(|_| out_of_range())
}

/// Takes the order and the page.
pub(super) fn page(parameters: &mut Parameters, filter: &Filter) -> Result<Page, Problem> {
    let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    let skip = parameters.one("skip")?.map_or(Ok(0), |text| text.parse());
    let detail = format_args!("a whole number from 0 to {MAX_SKIP}; follow links.next to go further");
    let skip = skip.ok().filter(|skip| *skip <= MAX_SKIP).ok_or_else(|| Problem::must_be("skip", detail))?;
    let cursor = parameters.one("cursor")?.filter(|cursor| !cursor.is_empty());
    let order = order(parameters)?;
    match (skip, cursor) {
        (1.., Some(_)) => Err(Problem::parameter("skip", "it cannot be combined with cursor")),
        (skip, None) => Ok(Page { limit, skip, order, after: None }),
        (0, Some(cursor)) => {
            let after = cursor::decode(&cursor, filter, order)?;
            Ok(Page { limit, skip: 0, order, after: Some(after) })
        }
    }
}

fn order(parameters: &mut Parameters) -> Result<Order, Problem> {
    let sort = parameters.one("sort")?.unwrap_or_else(|| "created_hour".to_owned());
    let (key, descending) = match sort.strip_prefix('-') {
        Some(key) => (key, true),
        None => (sort.as_str(), false),
    };
    let key = match key {
        "created_hour" => SortKey::CreatedHour,
        "player_id" => SortKey::Player,
        "game_id" => SortKey::Game,
        _ => {
            let detail = "created_hour, player_id or game_id; prefix with - for descending order";
            return Err(Problem::must_be("sort", detail));
        }
    };
    Ok(Order { key, descending })
}
