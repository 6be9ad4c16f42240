//! Cursors: the key after which the next page begins, and the filters and order that it belongs to. Opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::http::problem::Problem;
use crate::warehouse::aggregates::{Filter, Key, Order};
use crate::warehouse::text::Text;

/// The version of a cursor's layout: this byte, eight bytes of the question's digest, the hour, the game, the player.
const LAYOUT: u8 = 1;

/// Writes the cursor of the rows after a key.
pub(super) fn encode(key: &Key, filter: &Filter, order: Order) -> String {
    let mut bytes = vec![LAYOUT];
    bytes.extend(question(filter, order));
    bytes.extend(key.hour.to_be_bytes());
    bytes.extend(key.game.to_be_bytes());
    bytes.extend(key.player.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor.
///
/// # Errors
/// It is malformed, or belongs to other filters or another order.
pub(super) fn decode(cursor: &str, filter: &Filter, order: Order) -> Result<Key, Problem> {
    let not_a_cursor = || Problem::must_be("cursor", "the next_cursor of a page of aggregates");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| not_a_cursor())?;
    let rest = bytes.strip_prefix(&[LAYOUT]).ok_or_else(not_a_cursor)?;
    let (asked, rest) = rest.split_first_chunk::<8>().ok_or_else(not_a_cursor)?;
    let (hour, rest) = rest.split_first_chunk::<4>().ok_or_else(not_a_cursor)?;
    let (game, player) = rest.split_first_chunk::<8>().ok_or_else(not_a_cursor)?;
    let player = Text::from(player.to_vec());
    if *asked != question(filter, order) {
        let detail =
            "it belongs to other filters or another sort; use those of its page, or start without a cursor";
        return Err(Problem::parameter("cursor", detail));
    }
    Ok(Key { hour: u32::from_be_bytes(*hour), player, game: u64::from_be_bytes(*game) })
}

/// A digest of the filters and the order. The sequence of the values does not matter.
fn question(filter: &Filter, order: Order) -> [u8; 8] {
    let text = format!("{filter:?} {order:?}");
    let digest = Sha256::digest(text.as_bytes());
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::warehouse::aggregates::SortKey;

    proptest! {
        #[test]
        fn a_cursor_works_for_its_filters_and_order_only(
            hour in any::<u32>(), game in any::<u64>(), player: Vec<u8>, filtered in any::<u64>(),
        ) {
            let key = Key { hour, player: player.into(), game };
            let filter = Filter { games: vec![filtered], ..Filter::default() };
            let order = Order { key: SortKey::Player, descending: false };
            let cursor = encode(&key, &filter, order);
            prop_assert_eq!(decode(&cursor, &filter, order).unwrap(), key);
            prop_assert!(decode(&cursor, &Filter::default(), order).is_err());
            let turned = Order { descending: true, ..order };
            prop_assert!(decode(&cursor, &filter, turned).is_err());
        }

        #[test]
        fn any_other_text_is_refused(text in ".{0,60}") {
            let order = Order { key: SortKey::Game, descending: true };
            prop_assert!(decode(&text, &Filter::default(), order).is_err());
        }
    }
}
