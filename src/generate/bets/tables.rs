//! Who plays what: at each table one player plays one game for a while, then another player takes the seat.

use super::catalogue::{self, Game};
use super::money::{Amount, ONE};
use crate::generate::dice::Dice;
use crate::settings::GenerateOptions;

/// The stream of [`Dice`] for the rounds.
const STREAM: u64 = 0;

/// Players do not depend on the seed: two files look like two exports of the same operator. ("round" in ASCII.)
const PLAYERS_SEED: u64 = 0x72_6f75_6e64;

/// The most rounds that a player plays in one sitting.
const SITTING: u64 = 80;

const CENT: u64 = ONE / 100;

/// Usual stakes; small ones occur more often.
const STAKES: [u64; 12] = [
    5 * CENT,
    10 * CENT,
    10 * CENT,
    10 * CENT,
    20 * CENT,
    20 * CENT,
    25 * CENT,
    50 * CENT,
    50 * CENT,
    ONE,
    2 * ONE,
    20 * ONE,
];

/// Stakes of games in cryptocurrencies, which float exports write as `1E-05`.
const TINY_STAKES: [u64; 4] = [ONE / 100_000, ONE / 20_000, ONE / 8_000, ONE / 1_000];

/// What a winning round pays, in tenths of the stake.
const PAYOUTS: [u64; 12] = [2, 4, 5, 5, 8, 10, 10, 15, 20, 25, 60, 250];
const JACKPOT: u64 = 50_000;

/// How exports write a missing amount.
const NULLS: [&str; 3] = ["NaN", "", "NULL"];

/// One round, without its id and time.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pub(super) player: &'a str,
    pub(super) game: &'a Game,
    /// Seconds from its start, which is its timestamp, to its end. Files are ordered by end, so nearly by timestamp.
    pub(super) duration: u64,
    /// Real bet, bonus bet, real win, bonus win.
    pub(super) amounts: [Amount; 4],
}

/// All tables.
#[derive(Debug)]
pub(super) struct Tables {
    dice: Dice,
    players: u32,
    games: u32,
    null_percent: u64,
    tables: Vec<Table>,
}

impl Tables {
    /// Creates as many tables as the rows of a quarter of an hour keep busy.
    pub(super) fn new(options: &GenerateOptions) -> Self {
        let quarters = u64::from(options.days) * 24 * 4;
        let count = (options.rows / quarters / (SITTING / 2)).clamp(4, 4_096);
        let mut dice = Dice::new(options.seed, STREAM);
        let (players, games) = (options.players, options.games);
        let tables = (0..count).map(|_| Table::seat(&mut dice, players, games)).collect();
        Self { dice, players, games, null_percent: u64::from(options.null_percent), tables }
    }

    /// Plays the next round, at a random table.
    pub(super) fn play(&mut self) -> Round<'_> {
        let index = self.dice.below(self.tables.len() as u64) as usize;
        let table = &mut self.tables[index];
        if table.rounds_left == 0 {
            *table = Table::seat(&mut self.dice, self.players, self.games);
        }
        table.rounds_left -= 1;
        let bet = table.stake;
        let win = win(&mut self.dice, bet);
        let units = if table.bonus { [0, bet, 0, win] } else { [bet, 0, win, 0] };
        let amounts = units.map(|units| amount(&mut self.dice, self.null_percent, units));
        Round { player: &table.player, game: &table.game, duration: self.dice.below(9), amounts }
    }
}

/// A player at a game.
#[derive(Debug)]
struct Table {
    player: String,
    game: Game,
    stake: u64,
    bonus: bool,
    rounds_left: u64,
}

impl Table {
    fn seat(dice: &mut Dice, players: u32, games: u32) -> Self {
        let player = player(dice.rank_below(players));
        let game = catalogue::game(dice.rank_below(games));
        let tiny = dice.one_in(40);
        let stake = if tiny { dice.pick(&TINY_STAKES) } else { dice.pick(&STAKES) };
        let bonus = dice.one_in(8);
        Self { player, game, stake, bonus, rounds_left: 1 + dice.below(SITTING) }
    }
}

/// Returns a player's id, 32 hexadecimal digits.
fn player(rank: u32) -> String {
    let mut dice = Dice::new(PLAYERS_SEED, u64::from(rank));
    format!("{:016x}{:016x}", dice.next(), dice.next())
}

fn win(dice: &mut Dice, stake: u64) -> u64 {
    if dice.one_in(20_000) {
        stake / 10 * JACKPOT
    } else if dice.below(10) < 7 {
        0
    } else {
        stake / 10 * dice.pick(&PAYOUTS)
    }
}

fn amount(dice: &mut Dice, null_percent: u64, units: u64) -> Amount {
    if dice.below(100) < null_percent { Amount::Null(dice.pick(&NULLS)) } else { Amount::Units(units) }
}
