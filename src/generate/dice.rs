//! Random integers whose sequence never changes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A ChaCha stream. Only its `u64`s are used, because other values of `rand` may differ between versions.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// Returns stream number `stream` of `seed`. The streams of one seed are independent.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self(generator)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number in `0..end` (0 for an empty range). Its bias is below 2^-32 for these ends and does not matter.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let scaled = (u128::from(self.next()) * u128::from(end)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    /// Returns true once in `times`, on average.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of the values, all equally likely.
    pub(super) fn pick<T: Copy, const N: usize>(&mut self, values: &[T; N]) -> T {
        const { assert!(N > 0, "no values to pick from") };
        values[self.below(N as u64) as usize]
    }

    /// Returns a number in `0..end`. The probability falls as `1 / (1 + rank)`, in steps of powers of two.
    ///
    /// This is Zipf's law with exponent one, using integers only. Each octave of ranks is equally likely: an octave is drawn, then a rank in
    /// it. A rank beyond the end is drawn again (at most every other time).
    pub(super) fn rank_below(&mut self, end: u32) -> u32 {
        let octaves = u64::from(end.max(1).ilog2()) + 1;
        loop {
            let octave = 1_u64 << self.below(octaves);
            let rank = octave - 1 + self.below(octave);
            match u32::try_from(rank) {
                Ok(rank) if rank < end.max(1) => return rank,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_never_changes() {
        let mut dice = Dice::new(1, 0);
        assert_eq!([dice.next(), dice.next()], [7_037_237_572_835_827_407, 5_440_448_899_038_119_230]);
    }

    #[test]
    fn low_ranks_are_more_frequent_and_every_rank_occurs() {
        let mut dice = Dice::new(1, 0);
        let mut seen = [0_u32; 100];
        for _ in 0..100_000 {
            seen[dice.rank_below(100) as usize] += 1;
        }
        assert!(seen[0] > 10 * seen[50], "{seen:?}");
        assert!(seen.iter().all(|&times| times > 0), "{seen:?}");
    }

    #[test]
    fn with_one_rank_it_is_always_the_first() {
        assert_eq!(Dice::new(1, 0).rank_below(1), 0);
    }
}
