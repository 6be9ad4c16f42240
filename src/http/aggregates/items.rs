//! The items of a page, in JSON.

use std::vec;

use axum::body::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{money, timestamp};
use crate::http::stream::{PIECE_BYTES, Pieces, push_element};
use crate::warehouse::aggregates::{AMOUNT_SCALE, Aggregate};
use crate::warehouse::client::WarehouseError;

/// One hour of one player in one game. Money is a decimal string.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Aggregate)]
pub struct Item {
    #[schema(format = DateTime)]
    created_hour: String,
    player_id: String,
    game_id: u64,
    game_name: String,
    provider: String,
    rounds_played: u64,
    #[schema(pattern = "^-?[0-9]+([.][0-9]+)?$")]
    real_amount_bet: String,
    #[schema(pattern = "^-?[0-9]+([.][0-9]+)?$")]
    bonus_amount_bet: String,
    #[schema(pattern = "^-?[0-9]+([.][0-9]+)?$")]
    real_amount_win: String,
    #[schema(pattern = "^-?[0-9]+([.][0-9]+)?$")]
    bonus_amount_win: String,
    /// Bets minus wins, real and bonus together.
    #[schema(pattern = "^-?[0-9]+([.][0-9]+)?$")]
    net: String,
}

impl From<Aggregate> for Item {
    fn from(aggregate: Aggregate) -> Self {
        let text = |amount| money::format(amount, AMOUNT_SCALE);
        Self {
            created_hour: timestamp::format(i64::from(aggregate.created_hour) * 1000),
            real_amount_bet: text(aggregate.real_amount_bet),
            bonus_amount_bet: text(aggregate.bonus_amount_bet),
            real_amount_win: text(aggregate.real_amount_win),
            bonus_amount_win: text(aggregate.bonus_amount_win),
            net: text(aggregate.net()),
            player_id: aggregate.player.into_shown(),
            game_id: aggregate.game,
            game_name: aggregate.game_name.into_shown(),
            provider: aggregate.provider.into_shown(),
            rounds_played: aggregate.rounds_played,
        }
    }
}

/// The items as the elements of an array.
pub(super) struct Items {
    items: vec::IntoIter<Aggregate>,
    is_first: bool,
}

impl Items {
    pub(super) fn new(items: Vec<Aggregate>) -> Self {
        Self { items: items.into_iter(), is_first: true }
    }
}

impl Pieces for Items {
    async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES
            && let Some(aggregate) = self.items.next()
        {
            push_element(&mut piece, &mut self.is_first, &Item::from(aggregate));
        }
        Ok((!piece.is_empty()).then(|| Bytes::from(piece)))
    }
}
