//! Forms with files (`multipart/form-data`, RFC 7578), read while they arrive. What a form has besides its files is limited: what is
//! before the first part, the header of a part, and the fields that are no files.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt};
use memchr::memmem::{self, Finder};
use thiserror::Error;

/// Bytes before the first part.
const MAX_PREAMBLE_BYTES: usize = 8 << 10;

/// Bytes and lines of a part's header.
const MAX_HEADER_BYTES: usize = 16 << 10;
const MAX_HEADER_LINES: usize = 32;

/// Bytes of a field that is no file, and how many of them a form may have.
const MAX_FIELD_BYTES: usize = 1 << 20;
const MAX_FIELDS: usize = 100;

/// Characters of a boundary. RFC 2046 allows 70.
const MAX_BOUNDARY: usize = 200;

/// How long the next file may take to begin.
const NEXT_FILE_TIME: Duration = Duration::from_secs(60);

/// Why a form is not read on.
#[derive(Debug, Error)]
pub enum FormError {
    #[error("Content-Type has no boundary")]
    NoBoundary,
    #[error("it ends before its last boundary")]
    Incomplete,
    #[error("a boundary or the header of a part is malformed")]
    Malformed,
    #[error("{0}")]
    Broken(axum::Error),
    #[error("no file has begun within {} seconds", NEXT_FILE_TIME.as_secs())]
    TooSlow,
    #[error(
        "the form has more than 8 KiB before its first part, 16 KiB or 32 lines in the header of a part, 1 MiB in a field, or 100 fields \
         that are no files"
    )]
    TooLarge,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first boundary.
    Preamble,
    /// After a boundary.
    Boundary,
    /// In a part.
    Part,
    /// After the last boundary.
    End,
}

/// A form whose files are read one after the other.
pub struct Form {
    pieces: BodyDataStream,
    /// A line break, two hyphens and the boundary.
    delimiter: Finder<'static>,
    /// What has arrived and was not taken.
    buffer: BytesMut,
    place: Place,
    fields: usize,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Form {
    /// # Errors
    /// The content type has no boundary.
    pub fn new(content_type: &str, pieces: BodyDataStream) -> Result<Self, FormError> {
        let boundary = boundary(content_type).ok_or(FormError::NoBoundary)?;
        let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // The first boundary has its line break before the body.
        let buffer = BytesMut::from("\r\n");
        Ok(Self { pieces, delimiter, buffer, place: Place::Preamble, fields: 0 })
    }

    /// Goes on to the next file, and returns its name; none at the end of the form. The file itself is what this streams then.
    ///
    /// # Errors
    /// See [`FormError`].
    pub async fn next_file(&mut self) -> Result<Option<String>, FormError> {
        tokio::time::timeout(NEXT_FILE_TIME, self.find_file()).await.unwrap_or(Err(FormError::TooSlow))
    }

    async fn find_file(&mut self) -> Result<Option<String>, FormError> {
        loop {
            match self.place {
                Place::Preamble => self.skip(MAX_PREAMBLE_BYTES).await?,
                Place::Part => self.skip(MAX_FIELD_BYTES).await?,
                Place::Boundary => {
                    if let Some(name) = self.header().await? {
                        return Ok(Some(name));
                    }
                }
                Place::End => return Ok(None),
            }
        }
    }

    /// Passes over what is before the next boundary.
    async fn skip(&mut self, limit: usize) -> Result<(), FormError> {
        let mut skipped = 0;
        while let Some(piece) = std::future::poll_fn(|context| self.poll_part(context)).await? {
            skipped += piece.len();
            if skipped > limit {
                return Err(FormError::TooLarge);
            }
        }
        Ok(())
    }

    /// Takes the rest of a boundary's line, and the header of the part after it. Returns the name of the file that it has.
    async fn header(&mut self) -> Result<Option<String>, FormError> {
        let end = loop {
            if self.buffer.starts_with(b"--") {
                self.place = Place::End;
                return Ok(None);
            }
            let end = memmem::find(&self.buffer, b"\r\n\r\n");
            match end {
                Some(end) if end <= MAX_HEADER_BYTES => break end,
                None if self.buffer.len() <= MAX_HEADER_BYTES => self.fill().await?,
                _ => return Err(FormError::TooLarge),
            }
        };
        let header = self.buffer.split_to(end);
        self.buffer.advance(b"\r\n\r\n".len());
        self.place = Place::Part;
        let text = std::str::from_utf8(&header).map_err(|_| FormError::Malformed)?;
        let (padding, lines) = text.split_once("\r\n").unwrap_or((text, ""));
        if !padding.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(FormError::Malformed);
        }
        if lines.split("\r\n").count() > MAX_HEADER_LINES {
            return Err(FormError::TooLarge);
        }
        let name = file_name(lines);
        self.fields += usize::from(name.is_none());
        if self.fields > MAX_FIELDS {
            return Err(FormError::TooLarge);
        }
        Ok(name)
    }

    /// Waits for more to arrive.
    async fn fill(&mut self) -> Result<(), FormError> {
        let piece = self.pieces.next().await;
        self.buffer.extend_from_slice(&piece.ok_or(FormError::Incomplete)?.map_err(FormError::Broken)?);
        Ok(())
    }

    /// Returns what is next of a part; none at its end.
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FormError>> {
        let delimiter = self.delimiter.needle().len();
        loop {
            if !matches!(self.place, Place::Preamble | Place::Part) {
                return Poll::Ready(Ok(None));
            }
            match self.delimiter.find(&self.buffer) {
                Some(0) => {
                    self.buffer.advance(delimiter);
                    self.place = Place::Boundary;
                    return Poll::Ready(Ok(None));
                }
                Some(end) => return Poll::Ready(Ok(Some(self.buffer.split_to(end).freeze()))),
                // The last bytes may be the beginning of a boundary.
                None if self.buffer.len() >= delimiter => {
                    let end = self.buffer.len() - delimiter + 1;
                    return Poll::Ready(Ok(Some(self.buffer.split_to(end).freeze())));
                }
                None => {}
            }
            match ready!(self.pieces.poll_next_unpin(context)) {
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                Some(Err(error)) => return Poll::Ready(Err(FormError::Broken(error))),
                None => return Poll::Ready(Err(FormError::Incomplete)),
            }
        }
    }
}

/// The bytes of the file that [`Form::next_file`] has gone on to.
impl Stream for Form {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = ready!(self.poll_part(context));
        if part.is_err() {
            self.place = Place::End;
        }
        Poll::Ready(part.map_err(std::io::Error::other).transpose())
    }
}

/// Returns the boundary that a content type names.
fn boundary(content_type: &str) -> Option<String> {
    let boundary = parameter(content_type, "boundary")?;
    (1..=MAX_BOUNDARY).contains(&boundary.len()).then_some(boundary)
}

/// Returns the name of the file of a part with these lines in its header; none if it is no file.
fn file_name(lines: &str) -> Option<String> {
    lines.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| parameter(value, "filename"))?
    })
}

/// Returns the value of a parameter of a header, in quotes or not (RFC 9110, section 5.6.6).
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_matches([' ', '\t', ';']);
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// Takes a quoted text apart from what is behind it. A backslash is only an escape before a quote: browsers send paths with them.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        match before.strip_suffix('\\') {
            Some(before) => {
                value.push_str(before);
                value.push('"');
                rest = after;
            }
            None => {
                value.push_str(before);
                return Some((value, after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "multipart/form-data; boundary=limit";

    fn form(pieces: Vec<Vec<u8>>) -> Form {
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
        Form::new(KIND, Body::from_stream(pieces).into_data_stream()).unwrap()
    }

    /// Reads all files of a form that arrives in pieces of so many bytes.
    async fn read(text: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, FormError> {
        let mut form = form(text.chunks(piece).map(<[u8]>::to_vec).collect());
        let mut files = Vec::new();
        while let Some(name) = form.next_file().await? {
            let mut file = Vec::new();
            while let Some(piece) = form.next().await {
                let piece =
                    piece.map_err(|error| *error.into_inner().unwrap().downcast::<FormError>().unwrap());
                file.extend_from_slice(&piece?);
            }
            files.push((name, file));
        }
        Ok(files)
    }

    fn part(header: &str, text: &str) -> String {
        format!("--limit\r\n{header}\r\n\r\n{text}\r\n")
    }

    fn file(name: &str, text: &str) -> String {
        let header = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"");
        part(&format!("{header}\r\nContent-Type: text/csv"), text)
    }

    #[tokio::test]
    async fn files_are_read_in_whatever_pieces_they_come() {
        let near = "\r\n--limi\r\n--\r\r\n\r\n--lim\rit--limit";
        let text = format!(
            "a preamble\r\n{}{}{}{}--limit--\r\nwhat is behind",
            part("Content-Disposition: form-data; name=\"comment\"", "no file"),
            file("a \\\"b\\\" C:\\d.csv", near),
            file("", ""),
            part("content-disposition:form-data ;filename=b.csv ; name=file", "1,2\n"),
        );
        let expected = [("a \"b\" C:\\d.csv", near), ("", ""), ("b.csv", "1,2\n")]
            .map(|(name, text)| (name.to_owned(), text.into()));
        for piece in 1..text.len() {
            assert_eq!(read(text.as_bytes(), piece).await.unwrap(), expected, "pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_or_not_all_of_one_is_refused() {
        let whole = format!("{}--limit--", file("a", "text"));
        for end in 0..whole.len() {
            for piece in [1, 1000] {
                let error = read(&whole.as_bytes()[..end], piece).await.unwrap_err();
                assert!(matches!(error, FormError::Incomplete), "{end}: {error}");
            }
        }
        let error = read(whole.replace("--limit\r\n", "--limits\r\n").as_bytes(), 7).await.unwrap_err();
        assert!(matches!(error, FormError::Malformed), "{error}");
        for kind in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; charset=x"]
        {
            assert!(Form::new(kind, Body::empty().into_data_stream()).is_err(), "{kind}");
        }
        for kind in
            ["a/b; boundary=\"x y\"", "a/b; charset=\"a;b\"; Boundary=\"x y\" ", "a/b;x=y;boundary=x y"]
        {
            assert_eq!(boundary(kind).as_deref(), Some("x y"), "{kind}");
        }
    }

    #[tokio::test]
    async fn what_a_form_has_besides_files_is_limited_and_not_kept() {
        let endless = |start: String, piece: String| {
            let pieces = stream::iter(std::iter::once(start).chain(std::iter::repeat(piece)));
            let body = Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>));
            Form::new(KIND, body.into_data_stream()).unwrap()
        };
        let field = part("Content-Disposition: form-data; name=\"x\"", "y");
        for (start, piece) in [
            (String::new(), "x".repeat(100)),
            (String::new(), "\r\n--limi".to_owned()),
            ("--limit".to_owned(), " ".to_owned()),
            ("--limit\r\n".to_owned(), "x".repeat(100)),
            ("--limit\r\nA: ".to_owned(), "\r\nA: b".to_owned()),
            (field.trim_end().to_owned(), "y".repeat(1000)),
            (String::new(), field.clone()),
        ] {
            let mut form = endless(start, piece.clone());
            let error = form.next_file().await.unwrap_err();
            assert!(matches!(error, FormError::TooLarge), "{piece:?}: {error}");
            assert!(form.buffer.len() < 2 * MAX_HEADER_BYTES, "{piece:?}: {} bytes", form.buffer.len());
        }
        // As much as there may be.
        let lines = "A: b\r\n".repeat(MAX_HEADER_LINES - 1);
        let header = format!("{lines}Content-Disposition: form-data; filename=c");
        let text = format!("{}{}--limit--", field.repeat(MAX_FIELDS), part(&header, "d"));
        let text = format!("{}\r\n{text}", "p".repeat(MAX_PREAMBLE_BYTES - 2));
        assert_eq!(read(text.as_bytes(), 999).await.unwrap(), [("c".to_owned(), b"d".to_vec())]);
        let error = read(text.replace("A: b", "A: b\r\nA: b").as_bytes(), 999).await.unwrap_err();
        assert!(matches!(error, FormError::TooLarge), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_form_whose_next_file_does_not_begin_is_not_waited_for() {
        let trickle = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::convert::Infallible>("x"), ()))
        });
        let body = Body::from_stream(Box::pin(trickle));
        let error = Form::new(KIND, body.into_data_stream()).unwrap().next_file().await.unwrap_err();
        assert!(matches!(error, FormError::TooSlow), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(--limit|\r\n|--|[;:=\"a-c\\\\]|filename=|content-disposition:){0,40}", piece in 1_usize..50) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(read(text.as_bytes(), piece));
        }
    }
}
