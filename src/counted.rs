//! Counts in words.

use indicatif::HumanCount;

/// Returns a count with its noun: `1 row`, `2 rows`, `10,000 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", HumanCount(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_thousands_are_separated() {
        assert_eq!(
            [0, 1, 2, 10_000].map(|count| counted(count, "row")),
            ["0 rows", "1 row", "2 rows", "10,000 rows"]
        );
    }
}
