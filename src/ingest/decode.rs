//! The bytes of a file, in whatever encoding, to UTF-8 text.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::FileError;

/// How many bytes are looked at to find the encoding of a file without a byte order mark.
const SNIFF_BYTES: usize = 512;

/// Decodes a file piece by piece.
///
/// The encoding is the given one, else the byte order mark's, else found from the first bytes. Bytes that are no
/// character become U+FFFD, by which the row that they stand in is rejected later.
#[derive(Debug)]
pub struct TextDecoder {
    given: Option<&'static Encoding>,
    state: State,
}

enum State {
    /// Bytes held back until there are enough of them to find the encoding.
    Sniffing(Vec<u8>),
    Decoding {
        encoding: &'static Encoding,
        decoder: Box<Decoder>,
    },
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sniffing(bytes) => write!(f, "Sniffing({} bytes)", bytes.len()),
            Self::Decoding { encoding, .. } => write!(f, "Decoding({})", encoding.name()),
        }
    }
}

impl TextDecoder {
    pub fn new(given: Option<&'static Encoding>) -> Self {
        Self { given, state: State::Sniffing(Vec::new()) }
    }

    /// The encoding's name, once it is known.
    pub fn encoding(&self) -> Option<&'static str> {
        match &self.state {
            State::Sniffing(_) => None,
            State::Decoding { encoding, .. } => Some(encoding.name()),
        }
    }

    /// Decodes the next bytes to the end of `text`; `last` says that no more will come.
    ///
    /// # Errors
    /// The first bytes are those of an archive or another file that is no text.
    pub fn push(&mut self, bytes: &[u8], last: bool, text: &mut String) -> Result<(), FileError> {
        match &mut self.state {
            State::Decoding { decoder, .. } => decode(decoder, bytes, last, text),
            State::Sniffing(held) => {
                held.extend_from_slice(bytes);
                if held.len() < SNIFF_BYTES && !last {
                    return Ok(());
                }
                refuse_what_is_no_text(held)?;
                let encoding = self.given.unwrap_or_else(|| sniff(held));
                let mut decoder = Box::new(encoding.new_decoder_with_bom_removal());
                decode(&mut decoder, held, last, text);
                self.state = State::Decoding { encoding, decoder };
            }
        }
        Ok(())
    }
}

fn decode(decoder: &mut Decoder, mut bytes: &[u8], last: bool, text: &mut String) {
    loop {
        // The bound is exact enough that one turn is the rule; without it (an absurd length) pieces do.
        let room = decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len());
        text.reserve(room.max(16));
        let (result, read, _) = decoder.decode_to_string(bytes, text, last);
        bytes = bytes.get(read..).unwrap_or_default();
        if result == CoderResult::InputEmpty {
            return;
        }
    }
}

/// Finds the encoding: the byte order mark's, else UTF-16 where every second byte of the (ASCII) header is zero, else
/// UTF-8.
fn sniff(bytes: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    let head = bytes.get(..SNIFF_BYTES.min(bytes.len())).unwrap_or_default();
    let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = head.len() / 4;
    match () {
        () if odd > many && odd > even => UTF_16LE,
        () if even > many => UTF_16BE,
        () => UTF_8,
    }
}

fn refuse_what_is_no_text(bytes: &[u8]) -> Result<(), FileError> {
    let signatures: [(&[u8], &'static str, &'static str); 6] = [
        (b"PK\x03\x04", "a zip archive or an xlsx workbook", "unpack it, or export it as CSV"),
        (b"PK\x05\x06", "an empty zip archive", "upload the CSV file itself"),
        (b"\xd0\xcf\x11\xe0", "an xls workbook", "export it as CSV"),
        (b"\x1f\x8b", "a gzip file", "unpack it, or send it with Content-Encoding: gzip"),
        (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it, or send it with Content-Encoding: zstd"),
        (b"PAR1", "a Parquet file", "export it as CSV"),
    ];
    for (signature, found, remedy) in signatures {
        if bytes.starts_with(signature) {
            return Err(FileError::NotText { found, remedy });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = "created_timestamp,game_instance_id\r\n2019-10-22 08:20:41,20000 Ä日🎲\r\n";

    fn encode(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    fn decode_in_pieces(bytes: &[u8], size: usize) -> (String, &'static str) {
        let mut decoder = TextDecoder::new(None);
        let mut text = String::new();
        for piece in bytes.chunks(size) {
            decoder.push(piece, false, &mut text).unwrap();
        }
        decoder.push(&[], true, &mut text).unwrap();
        (text, decoder.encoding().unwrap())
    }

    #[test]
    fn both_orders_of_utf_16_and_utf_8_are_found_with_and_without_a_mark() {
        let marked = format!("\u{feff}{SAMPLE}");
        for (bytes, encoding) in [
            (encode(SAMPLE, u16::to_le_bytes), "UTF-16LE"),
            (encode(SAMPLE, u16::to_be_bytes), "UTF-16BE"),
            (SAMPLE.as_bytes().to_vec(), "UTF-8"),
            (encode(&marked, u16::to_le_bytes), "UTF-16LE"),
            (encode(&marked, u16::to_be_bytes), "UTF-16BE"),
            (marked.as_bytes().to_vec(), "UTF-8"),
        ] {
            assert_eq!(decode_in_pieces(&bytes, 3), (SAMPLE.to_owned(), encoding));
        }
    }

    #[test]
    fn an_archive_is_refused_by_name() {
        let error = TextDecoder::new(None).push(b"PK\x03\x04....", true, &mut String::new()).unwrap_err();
        assert!(error.to_string().contains("xlsx"), "{error}");
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_decode_to_the_same_text(text in "[a-zÄ日🎲]{0,300}", size in 1_usize..50) {
            let bytes = encode(&format!("\u{feff}{text}"), u16::to_le_bytes);
            prop_assert_eq!(decode_in_pieces(&bytes, size).0, text);
        }

        #[test]
        fn any_bytes_decode_to_something(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = TextDecoder::new(None).push(&bytes, true, &mut String::new());
        }
    }
}
