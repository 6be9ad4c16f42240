//! `GET /aggregates`.

use axum::Json;
use axum::extract::{OriginalUri, State};
use serde::Serialize;

use super::parameters::Parameters;
use super::problem::Problem;
use super::state::AppState;
use crate::domain::timestamp;
use crate::warehouse::aggregates::{AggregateRow, Filter, Order, Page, SortKey, fetch_page};

const KNOWN: &str = "player_id, game_id, date_from, date_to, limit, skip, sort";

/// Values of one repeatable parameter.
const MAX_VALUES: usize = 100;

/// Characters of a player's id.
const MAX_PLAYER_CHARACTERS: usize = 128;

const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 10_000;
const MAX_SKIP: u64 = 1_000_000_000;

/// One hour of one player in one game, as the API shows it. Money is a decimal string.
#[derive(Debug, Serialize)]
struct Item {
    created_hour: String,
    player_id: String,
    game_id: u64,
    game_name: String,
    provider: String,
    rounds_played: u64,
    real_amount_bet: String,
    bonus_amount_bet: String,
    real_amount_win: String,
    bonus_amount_win: String,
    /// Bets less wins, real and bonus together.
    net: String,
}

/// A page, where it begins, and where the next one is.
#[derive(Debug, Serialize)]
pub struct Answer {
    items: Vec<Item>,
    page: Position,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Position {
    limit: u64,
    skip: u64,
}

#[derive(Debug, Serialize)]
struct Links {
    /// None where this page is the last.
    next: Option<String>,
}

impl From<AggregateRow> for Item {
    fn from(row: AggregateRow) -> Self {
        Self {
            created_hour: timestamp::format(i64::from(row.created_hour) * 1000),
            player_id: row.user_id,
            game_id: row.game_id,
            game_name: row.game_name,
            provider: row.provider,
            rounds_played: row.rounds_played,
            real_amount_bet: row.real_amount_bet,
            bonus_amount_bet: row.bonus_amount_bet,
            real_amount_win: row.real_amount_win,
            bonus_amount_win: row.bonus_amount_win,
            net: row.net,
        }
    }
}

/// Answers a page of hourly aggregates, in a total order.
pub async fn aggregates(
    State(state): State<AppState>,
    OriginalUri(uri): OriginalUri,
    mut parameters: Parameters,
) -> Result<Json<Answer>, Problem> {
    let filter = parse_filter(&mut parameters)?;
    let page = parse_page(&mut parameters)?;
    parameters.finish(KNOWN)?;
    let rows = fetch_page(&state.warehouse, &filter, &page, state.query_timeout).await?;
    let items: Vec<Item> = rows.into_iter().map(Item::from).collect();
    let is_full = items.len() as u64 == page.limit;
    let next = is_full.then(|| next_link(uri.query().unwrap_or_default(), page.skip + page.limit));
    Ok(Json(Answer { items, page: Position { limit: page.limit, skip: page.skip }, links: Links { next } }))
}

fn parse_filter(parameters: &mut Parameters) -> Result<Filter, Problem> {
    let players = parameters.all("player_id");
    let games = parameters.all("game_id");
    for (name, count) in [("player_id", players.len()), ("game_id", games.len())] {
        if count > MAX_VALUES {
            return Err(Problem::parameter(name, format!("it may be given {MAX_VALUES} times")));
        }
    }
    let is_id = |id: &String| (1..=MAX_PLAYER_CHARACTERS).contains(&id.chars().count());
    if !players.iter().all(is_id) {
        return Err(Problem::parameter("player_id", format!("1 to {MAX_PLAYER_CHARACTERS} characters")));
    }
    let games: Vec<u64> = games
        .iter()
        .map(|id| id.parse().map_err(|_| Problem::parameter("game_id", "a whole number, not negative")))
        .collect::<Result<_, _>>()?;
    let from = parse_bound(parameters, "date_from", 0)?;
    let before = parse_bound(parameters, "date_to", 1)?;
    if let (Some(from), Some(before)) = (from, before)
        && from >= before
    {
        return Err(Problem::parameter("date_to", "it is before date_from"));
    }
    Ok(Filter { players, games, from, before })
}

/// A date or a time as seconds since 1970, rounded up; a date means its beginning, or that of the day `days` later.
fn parse_bound(parameters: &mut Parameters, name: &str, days: i64) -> Result<Option<u32>, Problem> {
    let Some(text) = parameters.one(name)? else { return Ok(None) };
    let millis = match text.len() {
        10 => {
            timestamp::parse(format!("{text} 00:00:00").as_bytes()).map(|millis| millis + days * 86_400_000)
        }
        _ => timestamp::parse(text.as_bytes()),
    };
    let millis =
        millis.map_err(|error| Problem::parameter(name, format!("{error}, or a date such as 2019-10-22")))?;
    u32::try_from(millis.div_euclid(1000) + i64::from(millis % 1000 > 0))
        .map(Some)
        .map_err(|_| Problem::parameter(name, "the time is before 1970 or after 2105"))
}

fn parse_page(parameters: &mut Parameters) -> Result<Page, Problem> {
    let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    let skip = parameters.number("skip", 0, 0..=MAX_SKIP)?;
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
            let detail = "created_hour, player_id or game_id; a minus before it turns the order round";
            return Err(Problem::parameter("sort", detail));
        }
    };
    Ok(Page { limit, skip, order: Order { key, descending } })
}

fn next_link(query: &str, skip: u64) -> String {
    let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "skip");
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(kept).append_pair("skip", &skip.to_string());
    format!("/aggregates?{}", next.finish())
}
