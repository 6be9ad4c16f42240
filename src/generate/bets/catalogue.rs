//! The games: each has an id, a name and a provider.

/// A game, as its rows show it.
#[derive(Clone, Debug)]
pub(super) struct Game {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) provider: String,
}

/// The id of the most played game, and the step to the next id; both from the reference file.
const FIRST_ID: u64 = 25_062;
const ID_STEP: u64 = 1_202;

/// The names of games, the most played first. Some are hard for a CSV reader: commas, quotes, other delimiters, letters beyond ASCII and
/// beyond one UTF-16 unit.
const TITLES: [(&str, &str); 40] = [
    ("Book of Wilds", "Play'n GO"),
    ("Star Drift", "NetEnt"),
    ("Gonzo's \"Quest\", Megaways", "NetEnt"),
    ("Fruit Rush", "Pragmatic"),
    ("Märchenwald", "Gamomat"),
    ("Roulette", "Evolution"),
    ("Cleo, Queen of Sands", "Play'n GO"),
    ("Sept Étés à Nîmes", "Ézugi"),
    ("Blackjack", "Evolution"),
    ("桜の夜", "日本ゲームズ"),
    ("Mega Moo", "Microgaming"),
    ("Fire; Ice", "Pragmatic"),
    ("Lucky 🍀 Clover", "NetEnt"),
    ("Baccarat", "Evolution"),
    ("\"21\"", "Gamomat"),
    ("Ølvikings Skål", "Yggdrasil"),
    ("Золотой рудник", "Белка"),
    ("Twin Spin", "NetEnt"),
    ("Big Bass", "Pragmatic"),
    ("Jammin' Jars", "Push"),
    ("Tome of Luck", "Play'n GO"),
    ("Reel Rush", "NetEnt"),
    ("Żółw i Gęś", "Wazdan"),
    ("Valley of Gods", "Yggdrasil"),
    ("Sweet Alchemy", "Play'n GO"),
    ("Ζευς", "Gamomat"),
    ("Rise of Merlin", "Play'n GO"),
    ("Keno", "Evolution"),
    ("Señor Chili", "Pragmatic"),
    ("Ramses Book", "Gamomat"),
    ("Hot, Hotter, \"Hottest\"", "Wazdan"),
    ("Dragon Tiger", "Evolution"),
    ("Wolf Gold", "Pragmatic"),
    ("9 Lions", "Wazdan"),
    ("Ġgantija", "Malta, Ltd."),
    ("Vikings", "NetEnt"),
    ("Fat Rabbit", "Push"),
    ("Çark", "Ézugi"),
    ("Razor Shark", "Push"),
    ("행운의 용", "日本ゲームズ"),
];

/// Returns the game with a given rank; rank 0 is the most played.
pub(super) fn game(rank: u32) -> Game {
    let rank = u64::from(rank);
    let edition = rank / TITLES.len() as u64 + 1;
    let (title, provider) = TITLES[rank as usize % TITLES.len()];
    let name = if edition == 1 { title.to_owned() } else { format!("{title} {edition}") };
    Game { id: FIRST_ID + ID_STEP * rank, name, provider: provider.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_game_has_its_own_id_and_name() {
        let ids: HashSet<u64> = (0..200).map(|rank| game(rank).id).collect();
        let names: HashSet<String> = (0..200).map(|rank| game(rank).name).collect();
        assert_eq!((ids.len(), names.len()), (200, 200));
    }

    #[test]
    fn the_game_with_the_highest_rank_has_an_id_too() {
        assert_eq!(game(u32::MAX).id, FIRST_ID + ID_STEP * u64::from(u32::MAX));
    }
}
