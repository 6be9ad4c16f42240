//! Searches text for bytes that matter, eight bytes at a time. Most texts of a row are short: calling a search costs more than this.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHEST_BITS: u64 = 0x8080_8080_8080_8080;

/// Marks the highest bit of each byte that is this one. Only the first mark is certain: bytes after it may be marked, too.
#[inline]
const fn marked(word: u64, byte: u8) -> u64 {
    let zeros = word ^ (ONES * byte as u64);
    zeros.wrapping_sub(ONES) & !zeros & HIGHEST_BITS
}

/// Marks control characters, as [`marked`] does.
#[inline]
const fn marked_controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGHEST_BITS
}

/// Returns the position of the first byte that counts, or the number of bytes. `mark` finds it among eight bytes, `is_it` is the same for one.
#[inline]
fn find(bytes: &[u8], mark: impl Fn(u64) -> u64, is_it: impl Fn(u8) -> bool) -> usize {
    let (eights, rest) = bytes.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        // The first byte is the lowest.
        let marks = mark(u64::from_le_bytes(*eight));
        if marks != 0 {
            return at * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let in_rest = rest.iter().position(|byte| is_it(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + in_rest
}

/// Finds what ends a piece of a JSON text that stands for itself: a quote, a backslash, or a control character.
#[inline]
pub(super) fn plain_end(bytes: &[u8]) -> usize {
    let mark = |word| marked(word, b'"') | marked(word, b'\\') | marked_controls(word);
    find(bytes, mark, |byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

/// Finds a quote or a backslash.
#[inline]
pub(super) fn quote(bytes: &[u8]) -> usize {
    find(bytes, |word| marked(word, b'"') | marked(word, b'\\'), |byte| matches!(byte, b'"' | b'\\'))
}

/// Finds a quote, a bracket or a brace.
#[inline]
pub(super) fn bracket(bytes: &[u8]) -> usize {
    // With this bit, a bracket is a brace.
    let mark = |word: u64| {
        let braces = word | (ONES * 0x20);
        marked(braces, b'{') | marked(braces, b'}') | marked(word, b'"')
    };
    find(bytes, mark, |byte| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_byte_that_counts_is_found_wherever_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let first = |is_it: fn(u8) -> bool| bytes.iter().position(|byte| is_it(*byte)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_end(&bytes), first(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)));
            prop_assert_eq!(quote(&bytes), first(|byte| matches!(byte, b'"' | b'\\')));
            prop_assert_eq!(bracket(&bytes), first(|byte| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}')));
        }

        #[test]
        fn long_texts_are_searched_to_their_end(length in 0_usize..70, end in prop::sample::select(b"\"\\[]{}\x00\x1f".to_vec())) {
            let text = [&b"a~\x80\xff!#Z|".repeat(10)[..length], &[end], b"\""].concat();
            let found = [plain_end(&text), quote(&text), bracket(&text)];
            let next = length + 1;
            let expected = match end {
                b'"' => [length; 3],
                b'\\' => [length, length, next],
                b'[' | b']' | b'{' | b'}' => [next, next, length],
                _ => [length, next, next],
            };
            prop_assert_eq!(found, expected);
        }
    }
}
