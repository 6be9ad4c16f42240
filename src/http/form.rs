//! Forms with files (`multipart/form-data`, RFC 7578), read while they arrive. Everything in a form besides its files is limited: the
//! bytes before the first part, the header of a part, and the parts that have no file.

mod disposition;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt};
use memchr::memmem::{self, Finder};
use thiserror::Error;

use self::disposition::{Disposition, parameter};

/// Bytes before the first part.
const MAX_PREAMBLE_BYTES: usize = 8 << 10;

/// Bytes and lines of a part's header.
const MAX_HEADER_BYTES: usize = 16 << 10;
const MAX_HEADER_LINES: usize = 32;

/// Bytes of a part without a file, and how many such parts a form may have.
const MAX_FIELD_BYTES: usize = 1 << 20;
const MAX_FIELDS: usize = 100;

/// Characters of a boundary. RFC 2046 allows 70.
const MAX_BOUNDARY: usize = 200;

/// Characters of a part's name that an error shows.
const SHOWN_NAME: usize = 100;

/// How long the next file may take to begin.
const NEXT_FILE_TIME: Duration = Duration::from_secs(60);

/// A part with this name is a file, even if it has no file name.
const FILE_PART: &str = "file";

/// Why reading a form stopped.
#[derive(Debug, Error)]
pub enum FormError {
    #[error(
        "Content-Type multipart/form-data has no boundary; do not set this header yourself, the HTTP client adds it with the boundary"
    )]
    NoBoundary,
    #[error(
        "Content-Type is multipart/form-data, but its boundary is not in the first 8 KiB of the body; to send a CSV file as the body, set \
         Content-Type: text/csv (curl --data-binary @rounds.csv -H 'Content-Type: text/csv'); to send a form, do not set Content-Type \
         yourself (curl -F file=@rounds.csv)"
    )]
    NotAForm,
    #[error("the multipart body ends before its last boundary")]
    Incomplete,
    #[error("a boundary or a part's header in the multipart body is malformed")]
    Malformed,
    #[error("the multipart body broke off: {0}")]
    Broken(axum::Error),
    #[error("the form is too slow: no file began within {} seconds", NEXT_FILE_TIME.as_secs())]
    TooSlow,
    #[error(
        "the form is too large besides its files; limits: 16 KiB and 32 lines in a part's header, 1 MiB in a part without a file, 100 such \
         parts"
    )]
    TooLarge,
}

/// What a form without a file has instead.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoFile {
    #[error("the form has no parts; send the file as a part (curl -F file=@rounds.csv)")]
    Nothing,
    #[error("no file was chosen: the form's file input is empty; choose a file and send the form again")]
    LeftEmpty,
    #[error(
        "the form has no file: part {0:?} has no file name; name the part \"file\", or send a file name with it (curl -F file=@rounds.csv)"
    )]
    OtherParts(String),
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
    /// Bytes that have arrived and are not used yet.
    buffer: BytesMut,
    place: Place,
    /// Parts without a file so far.
    fields: usize,
    no_file: NoFile,
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
        // The line break of the first boundary stands before the body.
        let buffer = BytesMut::from("\r\n");
        Ok(Self { pieces, delimiter, buffer, place: Place::Preamble, fields: 0, no_file: NoFile::Nothing })
    }

    /// Goes on to the next file and returns its name, which may be empty; none at the end of the form. After that, this streams the
    /// bytes of the file.
    ///
    /// # Errors
    /// See [`FormError`].
    pub async fn next_file(&mut self) -> Result<Option<String>, FormError> {
        tokio::time::timeout(NEXT_FILE_TIME, self.find_file()).await.unwrap_or(Err(FormError::TooSlow))
    }

    /// Says why a form that has ended had no file.
    pub fn no_file(&self) -> &NoFile {
        &self.no_file
    }

    async fn find_file(&mut self) -> Result<Option<String>, FormError> {
        loop {
            match self.place {
                Place::Preamble => self.skip_preamble().await?,
                Place::Part => self.skip(MAX_FIELD_BYTES, &mut 0).await?,
                Place::Boundary => {
                    if let Some(name) = self.part().await? {
                        return Ok(Some(name));
                    }
                }
                Place::End => return Ok(None),
            }
        }
    }

    /// Skips everything before the first boundary. A body without one is not a form, unless it broke off in that boundary.
    async fn skip_preamble(&mut self) -> Result<(), FormError> {
        let mut skipped = 0;
        let end = self.skip(MAX_PREAMBLE_BYTES, &mut skipped).await;
        let is_start = skipped == 0 && self.delimiter.needle().starts_with(&self.buffer);
        match end {
            Err(FormError::Incomplete | FormError::TooLarge) if !is_start => Err(FormError::NotAForm),
            end => end,
        }
    }

    /// Skips everything before the next boundary, and counts it.
    async fn skip(&mut self, limit: usize, skipped: &mut usize) -> Result<(), FormError> {
        while let Some(piece) = std::future::poll_fn(|context| self.poll_part(context)).await? {
            *skipped += piece.len();
            if *skipped > limit {
                return Err(FormError::TooLarge);
            }
        }
        Ok(())
    }

    /// Reads a part's header. Returns the file's name if the part is a file. A file input without a choice is sent as a part without
    /// a file name and without a byte: that is no file.
    async fn part(&mut self) -> Result<Option<String>, FormError> {
        let Some(Disposition { name, file_name }) = self.header().await? else { return Ok(None) };
        let is_file = file_name.is_some() || name == FILE_PART;
        let file_name = file_name.unwrap_or_default();
        if is_file && (!file_name.is_empty() || !self.is_part_empty().await?) {
            return Ok(Some(file_name));
        }
        if is_file {
            self.no_file = NoFile::LeftEmpty;
        } else if self.no_file == NoFile::Nothing {
            self.no_file = NoFile::OtherParts(name.chars().take(SHOWN_NAME).collect());
        }
        self.fields += 1;
        if self.fields > MAX_FIELDS { Err(FormError::TooLarge) } else { Ok(None) }
    }

    /// Reads the rest of a boundary's line, and the header of the part after it; none at the end of the form.
    async fn header(&mut self) -> Result<Option<Disposition>, FormError> {
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
        let padding = memmem::find(&header, b"\r\n").unwrap_or(header.len());
        let (padding, lines) = header.split_at(padding);
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(FormError::Malformed);
        }
        if memmem::find_iter(lines, b"\r\n").count() > MAX_HEADER_LINES {
            return Err(FormError::TooLarge);
        }
        Ok(Some(Disposition::of(lines)))
    }

    /// Looks whether a part ends where it begins. Nothing of it is read.
    async fn is_part_empty(&mut self) -> Result<bool, FormError> {
        loop {
            let delimiter = self.delimiter.needle();
            if self.buffer.starts_with(delimiter) {
                return Ok(true);
            }
            if !delimiter.starts_with(&self.buffer) {
                return Ok(false);
            }
            self.fill().await?;
        }
    }

    /// Waits for more to arrive.
    async fn fill(&mut self) -> Result<(), FormError> {
        let piece = self.pieces.next().await;
        self.buffer.extend_from_slice(&piece.ok_or(FormError::Incomplete)?.map_err(FormError::Broken)?);
        Ok(())
    }

    /// Returns the next bytes of a part; none at its end.
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
                // The last bytes may begin a boundary.
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

/// The bytes of the file that [`Form::next_file`] returned last.
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
    let boundary = String::from_utf8(parameter(content_type.as_bytes(), "boundary")?).ok()?;
    (1..=MAX_BOUNDARY).contains(&boundary.len()).then_some(boundary)
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
    async fn files_are_read_in_pieces_of_any_size() {
        let near = "\r\n--limi\r\n--\r\r\n\r\n--lim\rit--limit";
        let text = format!(
            "a preamble\r\n{}{}{}{}{}--limit--\r\nan epilogue",
            part("Content-Disposition: form-data; name=\"comment\"", "not a file"),
            file("a \\\"b\\\" C:\\d.csv", near),
            file("empty.csv", ""),
            part("content-disposition:form-data ;filename=b.csv ; name=file", "1,2\n"),
            file("", near),
        );
        let expected = [("a \"b\" C:\\d.csv", near), ("empty.csv", ""), ("b.csv", "1,2\n"), ("", near)]
            .map(|(name, text)| (name.to_owned(), text.into()));
        for piece in 1..text.len() {
            assert_eq!(read(text.as_bytes(), piece).await.unwrap(), expected, "pieces of {piece}");
        }
    }

    /// Reads a form without a file, and returns what the form says about it.
    async fn no_file(text: &str) -> String {
        let mut form = form(vec![text.as_bytes().to_vec()]);
        assert_eq!(form.next_file().await.unwrap(), None, "{text}");
        form.no_file().to_string()
    }

    #[tokio::test]
    async fn a_part_named_file_needs_no_file_name() {
        let named = |name: &str| part(&format!("Content-Disposition: form-data; name={name}"), "1,2");
        for name in ["file", "\"file\""] {
            let read = read(format!("{}--limit--", named(name)).as_bytes(), 3).await.unwrap();
            assert_eq!(read, [(String::new(), b"1,2".to_vec())]);
        }
        let problem = no_file(&format!("{}{}--limit--", named("upload"), named("other"))).await;
        assert!(problem.contains("part \"upload\" has no file name"), "{problem}");
        assert!(no_file("--limit--").await.contains("no parts"));
    }

    #[tokio::test]
    async fn a_file_input_that_was_left_empty_is_no_file() {
        let empty = [file("", ""), part("Content-Disposition: form-data; name=file", "")].concat();
        let text = format!("{empty}{}--limit--", file("good.csv", "1,2"));
        for piece in 1..text.len() {
            let read = read(text.as_bytes(), piece).await.unwrap();
            assert_eq!(read, [("good.csv".to_owned(), b"1,2".to_vec())], "pieces of {piece}");
        }
        let comment = part("Content-Disposition: form-data; name=comment", "x");
        for text in [empty.clone(), format!("{empty}{comment}"), format!("{comment}{empty}")] {
            assert!(no_file(&format!("{text}--limit--")).await.starts_with("no file was chosen"));
        }
        // Empty inputs are as limited as other parts.
        let error = read(file("", "").repeat(MAX_FIELDS + 2).as_bytes(), 999).await.unwrap_err();
        assert!(matches!(error, FormError::TooLarge), "{error}");
    }

    #[tokio::test]
    async fn a_malformed_or_truncated_form_is_refused() {
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
    async fn a_file_that_is_sent_as_a_form_is_told_from_a_form_that_broke_off() {
        let long = "1,2\n".repeat(MAX_PREAMBLE_BYTES);
        let other = file("a", "1,2").replace("limit", "border");
        for text in ["x", "id,name\n1,2\n", "--", "--limi\n", &long, &other] {
            for piece in [1, 7, 100_000] {
                let error = read(text.as_bytes(), piece).await.unwrap_err();
                let is_start = "--limit".starts_with(text);
                let is_named = matches!(error, FormError::Incomplete) == is_start
                    && matches!(error, FormError::NotAForm) != is_start;
                assert!(is_named, "{text:?} {piece}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn everything_besides_files_is_limited_and_not_kept() {
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
            let mut form = endless(start.clone(), piece.clone());
            let error = form.next_file().await.unwrap_err();
            let is_form = start.starts_with("--limit") || piece.starts_with("--limit");
            let is_named = if is_form {
                matches!(error, FormError::TooLarge)
            } else {
                matches!(error, FormError::NotAForm)
            };
            assert!(is_named, "{piece:?}: {error}");
            assert!(form.buffer.len() < 2 * MAX_HEADER_BYTES, "{piece:?}: {} bytes", form.buffer.len());
        }
        // Exactly at the limits.
        let lines = "A: b\r\n".repeat(MAX_HEADER_LINES - 1);
        let header = format!("{lines}Content-Disposition: form-data; filename=c");
        let text = format!("{}{}--limit--", field.repeat(MAX_FIELDS), part(&header, "d"));
        let text = format!("{}\r\n{text}", "p".repeat(MAX_PREAMBLE_BYTES - 2));
        assert_eq!(read(text.as_bytes(), 999).await.unwrap(), [("c".to_owned(), b"d".to_vec())]);
        let error = read(text.replace("A: b", "A: b\r\nA: b").as_bytes(), 999).await.unwrap_err();
        assert!(matches!(error, FormError::TooLarge), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_form_whose_next_file_does_not_begin_is_given_up() {
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
        fn no_input_makes_it_panic(text in "(--limit|\r\n|--|[;:=\"a-c\\\\]|filename[*]?=|name=file|content-disposition:){0,40}", piece in 1_usize..50) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(read(text.as_bytes(), piece));
        }
    }
}
