//! Random files and random stored rounds: counts and differences must be those of a simple model.

use roundhouse::reconcile::report::{FieldDifference, HourDifference, Sums, Values};

use super::*;

/// The expected report and list of differences, computed in memory.
#[derive(Debug, Default, PartialEq)]
struct Model {
    /// Matched, different, missing, duplicate, unexpected, contradictory.
    counts: [u64; 6],
    hours: [u64; 3],
    differences: Vec<Difference>,
}

/// Hour, player and game.
type Key = (u8, String, u64);
type Totals = BTreeMap<Key, (i64, [i64; 4])>;

/// A case: the rounds of the file, the stored rounds and whether the file's upload brought them, and an hour that is doubled.
#[derive(Debug)]
struct Case<'a> {
    in_file: &'a [Round],
    stored: &'a [(Round, bool)],
    doubled: Option<u8>,
}

impl Case<'_> {
    fn model(&self) -> Model {
        let mut model = Model::default();
        let mut firsts: BTreeMap<u64, &Round> = BTreeMap::new();
        let differs = |round: &Round| self.in_file.iter().any(|other| other.id == round.id && other != round);
        let contradictory: BTreeSet<u64> =
            self.in_file.iter().filter(|round| differs(round)).map(|round| round.id).collect();
        for (round, line) in self.in_file.iter().zip(2..) {
            let stored = self.stored.iter().find(|(stored, _)| stored.id == round.id);
            let kind = match (firsts.contains_key(&round.id), stored) {
                _ if contradictory.contains(&round.id) => Some(Kind::ContradictoryInFile),
                (true, _) => Some(Kind::DuplicateInFile),
                (false, Some((stored, _))) if stored == round => None,
                (false, Some(_)) => Some(Kind::Different),
                (false, None) => Some(Kind::Missing),
            };
            let place = match kind {
                None => 0,
                Some(Kind::Different) => 1,
                Some(Kind::Missing) => 2,
                Some(Kind::DuplicateInFile) => 3,
                Some(_) => 5,
            };
            model.counts[place] += 1;
            if let Some(kind) = kind {
                model.differences.push(of_row(kind, line, round, stored));
            }
            firsts.entry(round.id).or_insert(round);
        }
        for (round, is_ours) in self.stored {
            if *is_ours && !firsts.contains_key(&round.id) {
                model.counts[4] += 1;
                model.differences.push(unexpected(round));
            }
        }
        self.add_hours(&firsts, &contradictory, &mut model);
        model.differences.sort_by_key(|row| (row.kind, row.line, row.game_instance_id));
        model
    }

    fn add_hours(&self, firsts: &BTreeMap<u64, &Round>, contradictory: &BTreeSet<u64>, model: &mut Model) {
        let mut aggregates = totals(self.stored.iter().map(|(round, _)| round));
        for (key, (rounds, amounts)) in &mut aggregates {
            if Some(key.0) == self.doubled {
                *rounds *= 2;
                amounts.iter_mut().for_each(|amount| *amount *= 2);
            }
        }
        let stored = self.stored.iter().map(|(round, _)| round);
        let others = stored.clone().filter(|round| !firsts.contains_key(&round.id));
        // The file's values of a contradictory round are in no sum. Its stored values are.
        let of_file = firsts.values().copied().filter(|round| !contradictory.contains(&round.id));
        let as_stored = stored.filter(|round| contradictory.contains(&round.id));
        let both = totals(of_file.chain(others.clone()).chain(as_stored));
        let others = totals(others);
        for key in totals(self.in_file.iter()).keys() {
            model.hours[0] += 1;
            model.hours[2] += u64::from(others.contains_key(key));
            let aggregated = aggregates.get(key).copied().unwrap_or_default();
            let both = both.get(key).copied().unwrap_or_default();
            if aggregated != both {
                model.hours[1] += 1;
                let hour = HourDifference {
                    created_hour: format!("2019-10-22T{:02}:00:00Z", key.0),
                    player_id: key.1.clone(),
                    game_id: key.2,
                    expected: sums(both),
                    aggregated: sums(aggregated),
                };
                model.differences.push(Difference { hour: Some(hour), ..Difference::of_kind(Kind::Hour) });
            }
        }
    }
}

fn totals<'a>(rounds: impl Iterator<Item = &'a Round>) -> Totals {
    let mut totals = Totals::new();
    for round in rounds {
        let total = totals.entry((round.hour, round.player.clone(), round.game)).or_default();
        total.0 += 1;
        for (sum, amount) in total.1.iter_mut().zip(round.amounts) {
            *sum += amount.unwrap_or(0);
        }
    }
    totals
}

fn decimal(units: i64) -> String {
    let text = format!("{}.{:08}", units / 100_000_000, units % 100_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn sums((rounds_played, amounts): (i64, [i64; 4])) -> Sums {
    let [real_amount_bet, bonus_amount_bet, real_amount_win, bonus_amount_win] = amounts.map(decimal);
    Sums { rounds_played, real_amount_bet, bonus_amount_bet, real_amount_win, bonus_amount_win }
}

fn values(round: &Round) -> Values {
    let [real_bet, bonus_bet, real_win, bonus_win] = round.amounts.map(|amount| amount.map(decimal));
    let values = [
        ("created_timestamp", Some(format!("2019-10-22T{:02}:20:41Z", round.hour))),
        ("user_id", Some(round.player.clone())),
        ("game_id", Some(round.game.to_string())),
        ("real_amount_bet", real_bet),
        ("bonus_amount_bet", bonus_bet),
        ("real_amount_win", real_win),
        ("bonus_amount_win", bonus_win),
        ("game_name", Some(round.name.clone())),
        ("provider", Some("Provider".to_owned())),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_row(kind: Kind, line: u64, round: &Round, stored: Option<&(Round, bool)>) -> Difference {
    let mut row =
        Difference { line: Some(line), game_instance_id: Some(round.id), ..Difference::of_kind(kind) };
    match stored.filter(|_| kind == Kind::Different) {
        None => {
            row.file = values(round);
            if let Some((stored, is_ours)) = stored.filter(|_| kind == Kind::ContradictoryInFile) {
                row.stored = values(stored);
                row.upload_id = is_ours.then_some(UPLOAD);
                row.upload_line = is_ours.then_some(stored.id + 1000);
            }
        }
        Some((stored, _)) => {
            let pairs = values(round).into_iter().zip(values(stored).into_values());
            let pairs = pairs.filter(|((_, file), stored)| file != stored);
            row.fields =
                pairs.map(|((name, file), stored)| (name, FieldDifference { file, stored })).collect();
        }
    }
    row
}

fn unexpected(round: &Round) -> Difference {
    Difference {
        game_instance_id: Some(round.id),
        stored: values(round),
        upload_id: Some(UPLOAD),
        upload_line: Some(round.id + 1000),
        ..Difference::of_kind(Kind::Unexpected)
    }
}

const UPLOAD: Uuid = Uuid::from_u128(0x01a1_fc31_d9bb_770c_8e13_ab4b_d67d_cc88);

fn any_round() -> impl Strategy<Value = Round> {
    let amount = proptest::option::of(prop_oneof![Just(0), Just(1), Just(100_000_000)]);
    (0_u64..30, 0_u8..3, "[ab]", 1_u64..3, [amount.clone(), amount.clone(), amount.clone(), amount]).prop_map(
        |(id, hour, player, game, amounts)| Round {
            id,
            hour,
            player,
            game,
            amounts,
            name: "Game".to_owned(),
        },
    )
}

#[test]
fn reports_and_lists_of_random_files_and_rounds_are_those_of_the_model() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let cases = (
        proptest::collection::vec(any_round(), 0..40),
        proptest::collection::vec((any_round(), any::<bool>()), 0..40),
        proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        proptest::option::of(0_u8..3),
    );
    let outcome = runner.run(&cases, |(mut in_file, stored, equal, doubled)| {
        let mut ids = BTreeSet::new();
        let stored: Vec<(Round, bool)> = stored.into_iter().filter(|(round, _)| ids.insert(round.id)).collect();
        if !stored.is_empty() {
            in_file.extend(equal.iter().map(|index| index.get(&stored).0.clone()));
        }
        if !in_file.is_empty() {
            let copies: Vec<Round> = equal.iter().take(5).map(|index| index.get(&in_file).clone()).collect();
            in_file.extend(copies);
        }
        let (report, differences) = runtime.block_on(async {
            let bench = Bench::new().await;
            bench.store_from(&stored, UPLOAD).await;
            if let Some(hour) = doubled {
                let double = "INSERT INTO hourly_aggregates SELECT * FROM hourly_aggregates WHERE toHour(created_hour)";
                bench.execute(&format!("{double} = {hour}")).await;
            }
            let submission = Submission { uploads: vec![UPLOAD], ..Submission::default() };
            let view = bench.reconcile_as(submission, file(&in_file)).await;
            let differences = bench.differences(&bench.reconciler(), view.id).await;
            assert_eq!(bench.left_over().await, (0, 0));
            (view.report.expect("a report"), differences)
        });
        let rows = [report.matched, report.different, report.missing, report.duplicate_in_file];
        let [matched, different, missing, repeated] = rows;
        let mut sample = differences.clone();
        sample.sort_by_key(|row| {
            let place = match row.kind {
                Kind::Unexpected => 1,
                Kind::Hour => 2,
                _ => 0,
            };
            (place, row.line, row.game_instance_id)
        });
        sample.truncate(20);
        prop_assert_eq!(&report.sample, &sample);
        let found = Model {
            counts: [matched, different, missing, repeated, report.unexpected, report.contradictory_in_file],
            hours: report.hours.map(|hours| [hours.checked, hours.different, hours.shared]).unwrap_or_default(),
            differences,
        };
        let expected = Case { in_file: &in_file, stored: &stored, doubled }.model();
        let is_match = expected.counts[0] + expected.counts[3] == in_file.len() as u64
                && expected.counts[4] + expected.hours[1] == 0;
        prop_assert_eq!(report.verdict == Verdict::Match, is_match);
        prop_assert_eq!(found, expected);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
