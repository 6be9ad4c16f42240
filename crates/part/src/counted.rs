//! Counts in words, for errors and answers.

/// Returns a count with its noun: `1 row`, `2 rows`, `10,000 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", separated(count))
}

/// Returns a number with a comma before each three digits.
fn separated(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_thousands_are_separated() {
        assert_eq!(
            [0, 1, 2, 999, 10_000, 1_000_000].map(|count| counted(count, "row")),
            ["0 rows", "1 row", "2 rows", "999 rows", "10,000 rows", "1,000,000 rows"]
        );
    }
}
