//! Reads `GET /aggregates` in the form of [`Expected`](super::expected::Expected).

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::expected::{Totals, units};
use super::server::{Answer, Server};

/// Hour, player and game.
pub type Key = (String, String, u64);

/// Maximum number of rows of a page.
pub const LARGEST_PAGE: u64 = 10_000;

/// Fetches all pages by following the links. A page may be empty if all of its hours have lost their rounds.
pub async fn all_items(server: &Server, query: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut asked = HashSet::new();
    let mut next = Some(format!("/aggregates?{query}"));
    while let Some(path) = next {
        let mut page = server.get(&path).await.ok();
        items.append(page["items"].as_array_mut().expect("items"));
        next = page["links"]["next"].as_str().map(str::to_owned);
        assert!(asked.insert(path) && asked.len() < 100_000, "an endless list");
    }
    items
}

/// Returns the next page in the `Link` header.
pub fn next_link(page: &Answer) -> Option<String> {
    let link = page.headers.get("link")?.to_str().expect("a link");
    let (path, _) = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link");
    Some(path.to_owned())
}

/// Fetches everything, in pages of the maximum size.
pub async fn by_hour(server: &Server) -> BTreeMap<Key, Totals> {
    totals(&all_items(server, &format!("limit={LARGEST_PAGE}")).await)
}

/// Returns the items by key. Asserts that no two items have the same key.
pub fn totals(items: &[Value]) -> BTreeMap<Key, Totals> {
    let mut by_hour = BTreeMap::new();
    for item in items {
        let amount = |member: &str| units(item[member].as_str().expect("a decimal in a string"));
        let totals = Totals {
            rounds: item["rounds_played"].as_u64().expect("a number"),
            real_bet: amount("real_amount_bet"),
            bonus_bet: amount("bonus_amount_bet"),
            real_win: amount("real_amount_win"),
            bonus_win: amount("bonus_amount_win"),
        };
        let net = totals.real_bet + totals.bonus_bet - totals.real_win - totals.bonus_win;
        assert_eq!(amount("net"), net, "{item}");
        assert!(by_hour.insert(key(item), totals).is_none(), "{item} occurs twice");
    }
    by_hour
}

/// Returns the key of an item.
pub fn key(item: &Value) -> Key {
    let text = |member: &str| item[member].as_str().expect("a text").to_owned();
    (text("created_hour"), text("player_id"), item["game_id"].as_u64().expect("a number"))
}

/// Asserts that two sets of hours are equal; otherwise shows the first one that differs.
pub fn assert_same(stored: &BTreeMap<Key, Totals>, expected: &BTreeMap<Key, Totals>) {
    for (key, totals) in expected {
        assert_eq!(stored.get(key), Some(totals), "{key:?} (left: stored, right: expected)");
    }
    let unexpected = stored.keys().find(|key| !expected.contains_key(key));
    assert_eq!(unexpected, None, "stored but not expected");
}
