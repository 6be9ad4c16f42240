use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A prefix that begins like others, or is one of those around the limit, or is long.
fn prefix() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![1..4_usize, 29..34_usize, Just(70_000)];
    (length, 0..3_u8).prop_map(|(length, last)| {
        let mut prefix = vec![7; length];
        prefix[length - 1] = last;
        prefix
    })
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![0..80_u64, (0..80_u64).prop_map(|id| id << 32), Just(u64::MAX)]
}

fn keys(count: usize) -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    let few = prop::collection::vec((prefix(), id()), 0..count);
    // Of one prefix, so that it has more ids than are kept as a list.
    let many = prop::collection::vec((Just(vec![9]), id()), 0..count);
    let plain = prop::collection::vec((Just(Vec::new()), id()), 0..count / 4);
    (few, many, plain).prop_map(|(few, many, plain)| [few, many, plain].concat()).prop_shuffle()
}

fn has(set: &KeySet, (prefix, id): &(Vec<u8>, u64)) -> bool {
    set.contains(Key::new(prefix, *id, &mut [0; 32]))
}

fn set(keys: &[(Vec<u8>, u64)]) -> KeySet {
    let mut set = KeySet::default();
    for (prefix, id) in keys {
        set.insert(Key::new(prefix, *id, &mut [0; 32]));
    }
    set
}

proptest! {
    #[test]
    fn a_set_has_what_was_inserted_and_says_what_is_new(keys in keys(200), asked in keys(100)) {
        let (mut set, mut model) = (KeySet::default(), BTreeSet::new());
        for key in &keys {
            let is_new = set.insert(Key::new(&key.0, key.1, &mut [0; 32]));
            prop_assert_eq!(is_new, model.insert(key.clone()));
        }
        prop_assert_eq!(set.is_empty(), model.is_empty());
        for key in keys.iter().chain(&asked) {
            prop_assert_eq!(has(&set, key), model.contains(key));
        }
    }

    #[test]
    fn a_merged_set_has_the_keys_of_both(one in keys(120), other in keys(120), asked in keys(60)) {
        let mut merged = set(&one);
        merged.merge(&set(&other));
        let model: BTreeSet<_> = one.iter().chain(&other).cloned().collect();
        for key in model.iter().chain(&asked) {
            prop_assert_eq!(has(&merged, key), model.contains(key));
        }
    }

    #[test]
    fn ids_that_are_inserted_at_once_are_those_of_their_prefix(before in keys(60), prefix in prefix(), ids in prop::collection::vec(id(), 0..90)) {
        let mut found = set(&before);
        found.insert_all(Key::new(&prefix, 0, &mut [0; 32]), ids.iter().copied().collect());
        let all: BTreeSet<_> = before.iter().cloned().chain(ids.into_iter().map(|id| (prefix.clone(), id))).collect();
        for key in before.iter().cloned().chain((0..80).map(|id| (prefix.clone(), id))) {
            prop_assert_eq!(has(&found, &key), all.contains(&key));
        }
    }

    #[test]
    fn a_set_that_is_asked_late_has_what_was_inserted(keys in keys(120), asked in keys(60)) {
        // The keys of a dataset have prefixes, or none has one.
        for is_plain in [true, false] {
            let of = |all: &[(Vec<u8>, u64)]| -> Vec<_> {
                all.iter().filter(|key| key.0.is_empty() == is_plain).cloned().collect()
            };
            let (keys, asked) = (of(&keys), of(&asked));
            let (mut set, mut model) = (LazyKeySet::default(), BTreeSet::new());
            for (at, key) in keys.iter().enumerate() {
                set.insert(Key::new(&key.0, key.1, &mut [0; 32]));
                model.insert(key.clone());
                if at % 7 == 0 && let Some(asked) = asked.get(at / 7) {
                    prop_assert_eq!(set.contains(Key::new(&asked.0, asked.1, &mut [0; 32])), model.contains(asked));
                }
            }
            for key in keys.iter().chain(&asked) {
                prop_assert_eq!(set.contains(Key::new(&key.0, key.1, &mut [0; 32])), model.contains(key));
            }
        }
    }
}

#[test]
fn a_prefix_that_looks_like_a_digest_is_another_one() {
    let long = vec![1; 40];
    let digest: [u8; 32] = Sha256::digest(&long).into();
    let found = set(&[(long.clone(), 5)]);
    assert!(has(&found, &(long, 5)));
    assert!(!has(&found, &(digest.to_vec(), 5)) && !has(&found, &(digest[..31].to_vec(), 5)));
}

#[test]
fn an_entry_of_one_id_is_small() {
    assert_eq!(size_of::<Entry>(), 24);
}
