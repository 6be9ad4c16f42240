//! An answer that is being written: held back until it is large or complete, then sent piece by piece.
//!
//! Before anything is sent, an exception is the answer, with a status of its own. Later it ends the body as in ClickHouse 25.11
//! and later: a block with the tag from the head, and then the connection is closed without the end of the chunked coding.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Instant;

use axum::http::StatusCode;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::codec::{Coding, Encoder};
use super::exception::Exception;
use super::ffi::Progress;

/// Bytes of an answer that are held back. A smaller answer has its final status and summary in the head. A server sends each
/// block at once.
const HOLD: usize = 1 << 20;

/// The largest `buffer_size`.
const MAX_HOLD: usize = 64 << 20;

/// Bytes of one piece.
const PIECE: usize = 128 << 10;

/// Bytes of an answer with `wait_end_of_query` that are held in memory. The rest is held in a temporary file.
const SPOOL: usize = 8 << 20;

/// Pieces that wait for the socket.
const PIECES_AHEAD: usize = 4;

/// Bytes of an exception's text at the end of a body: clients search the last 16 KiB.
const MAX_LATE_EXCEPTION: usize = 15 << 10;

/// The client has disconnected, or the answer cannot be encoded. No error can be sent.
#[derive(Debug)]
pub(super) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// The form of an answer.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) coding: Option<Coding>,
    pub(super) blocks: bool,
    pub(super) wait_for_end: bool,
    pub(super) buffer_size: usize,
    /// The directory of the file in which a large answer is held.
    pub(super) directory: PathBuf,
    /// Marks an exception in the body.
    pub(super) tag: String,
    pub(super) version: String,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) exception_code: Option<u32>,
    pub(super) format: Option<String>,
    pub(super) coding: Option<Coding>,
    pub(super) tag: String,
    pub(super) progress: Progress,
    pub(super) elapsed_ns: u128,
}

/// What is sent to the client.
#[derive(Debug)]
pub(super) enum Answer {
    Whole(Head, Vec<u8>),
    Streamed(Head, mpsc::Receiver<Piece>),
}

#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// The last piece. After it the connection is closed.
    Exception(Bytes),
}

fn encode(data: &[u8], form: &Form) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(form.coding, form.blocks)?;
    encoder.write(data)?;
    encoder.finish()
}

/// Takes the engine's bytes and sends them.
pub(super) struct Output {
    form: Form,
    encoder: Encoder,
    format: Option<String>,
    progress: Progress,
    started: Instant,
    spool: Option<File>,
    sink: Sink,
}

enum Sink {
    /// Nothing is sent yet.
    Held(oneshot::Sender<Answer>),
    Streaming(mpsc::Sender<Piece>),
    Closed,
}

impl Output {
    /// # Errors
    /// The encoder cannot be made.
    pub(super) fn new(form: Form, answer: oneshot::Sender<Answer>) -> io::Result<Self> {
        Ok(Self {
            encoder: Encoder::new(form.coding, form.blocks)?,
            form,
            format: None,
            progress: Progress::default(),
            started: Instant::now(),
            spool: None,
            sink: Sink::Held(answer),
        })
    }

    /// Sets the format of the answer.
    pub(super) fn set_format(&mut self, format: &str) {
        self.format = Some(format.to_owned());
    }

    /// Adds to the summary.
    pub(super) fn add_progress(&mut self, progress: Progress) {
        self.progress.add(progress);
    }

    /// Whether the client has disconnected.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.sink {
            Sink::Held(answer) => answer.is_closed(),
            Sink::Streaming(pieces) => pieces.is_closed(),
            Sink::Closed => true,
        }
    }

    /// Takes bytes of the result, and waits if the client reads slowly.
    ///
    /// # Errors
    /// The client has disconnected.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Gone> {
        self.encoder.write(data)?;
        if self.form.wait_for_end {
            return self.hold_to_the_end();
        }
        if matches!(self.sink, Sink::Held(_)) {
            let hold = self.form.buffer_size.clamp(HOLD, MAX_HOLD);
            if self.encoder.encoded().len() < hold {
                return if self.is_abandoned() { Err(Gone) } else { Ok(()) };
            }
            self.begin()?;
        }
        if self.encoder.encoded().len() >= PIECE { self.send_encoded() } else { Ok(()) }
    }

    /// Ends the answer.
    pub(super) fn finish(mut self) {
        let _ = self.try_finish();
    }

    /// Ends the answer with an exception.
    pub(super) fn fail(mut self, exception: &Exception) {
        match std::mem::replace(&mut self.sink, Sink::Closed) {
            Sink::Held(answer) => {
                let mut head = self.head(exception.status());
                head.exception_code = Some(exception.code());
                let body = exception.body(&self.form.version).into_bytes();
                // In the coding that the answer would have had: some clients decode it without looking.
                let body = encode(&body, &self.form).unwrap_or_else(|_| {
                    head.coding = None;
                    body
                });
                let _ = answer.send(Answer::Whole(head, body));
            }
            Sink::Streaming(pieces) => {
                self.sink = Sink::Streaming(pieces);
                let _ = self.break_off(exception);
            }
            Sink::Closed => {}
        }
    }

    fn try_finish(&mut self) -> Result<(), Gone> {
        if let Some(mut spool) = self.spool.take() {
            self.begin()?;
            spool.rewind()?;
            let mut piece = vec![0; PIECE];
            loop {
                match spool.read(&mut piece)? {
                    0 => break,
                    read => {
                        let bytes = Bytes::copy_from_slice(piece.get(..read).unwrap_or_default());
                        self.send_piece(Piece::Data(bytes))?;
                    }
                }
            }
        }
        let rest = self.finish_encoder()?;
        match std::mem::replace(&mut self.sink, Sink::Closed) {
            Sink::Held(answer) => {
                answer.send(Answer::Whole(self.head(StatusCode::OK), rest)).map_err(|_| Gone)
            }
            Sink::Streaming(pieces) if !rest.is_empty() => {
                pieces.blocking_send(Piece::Data(rest.into())).map_err(|_| Gone)
            }
            Sink::Streaming(_) | Sink::Closed => Ok(()),
        }
    }

    /// Sends the head; pieces follow.
    fn begin(&mut self) -> Result<(), Gone> {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let head = self.head(StatusCode::OK);
        match std::mem::replace(&mut self.sink, Sink::Streaming(sender)) {
            Sink::Held(answer) => answer.send(Answer::Streamed(head, pieces)).map_err(|_| Gone),
            Sink::Streaming(_) | Sink::Closed => Err(Gone),
        }
    }

    /// Writes the exception after what was sent, as a separate piece, so that a client finds it in one read.
    fn break_off(&mut self, exception: &Exception) -> Result<(), Gone> {
        self.encoder.flush()?;
        self.send_encoded()?;
        let mut text = exception.body(&self.form.version);
        if text.len() > MAX_LATE_EXCEPTION {
            text.truncate(text.floor_char_boundary(MAX_LATE_EXCEPTION));
            text.push('\n');
        }
        let tag = &self.form.tag;
        let length = text.len();
        let block = format!("\r\n__exception__\r\n{tag}\r\n{text}{length} {tag}\r\n__exception__\r\n");
        self.encoder.write(block.as_bytes())?;
        let rest = self.finish_encoder()?;
        self.send_piece(Piece::Exception(rest.into()))
    }

    fn finish_encoder(&mut self) -> io::Result<Vec<u8>> {
        std::mem::replace(&mut self.encoder, Encoder::new(None, false)?).finish()
    }

    /// Moves the encoded bytes to a temporary file if they are many.
    fn hold_to_the_end(&mut self) -> Result<(), Gone> {
        if self.is_abandoned() {
            return Err(Gone);
        }
        if self.encoder.encoded().len() >= SPOOL {
            let encoded = std::mem::take(self.encoder.encoded());
            let spool = match &mut self.spool {
                Some(spool) => spool,
                empty => empty.insert(tempfile::tempfile_in(&self.form.directory)?),
            };
            spool.write_all(&encoded)?;
        }
        Ok(())
    }

    fn send_encoded(&mut self) -> Result<(), Gone> {
        let encoded = std::mem::take(self.encoder.encoded());
        if encoded.is_empty() { Ok(()) } else { self.send_piece(Piece::Data(encoded.into())) }
    }

    fn send_piece(&mut self, piece: Piece) -> Result<(), Gone> {
        match &self.sink {
            Sink::Streaming(pieces) => pieces.blocking_send(piece).map_err(|_| Gone),
            Sink::Held(_) | Sink::Closed => Err(Gone),
        }
    }

    fn head(&self, status: StatusCode) -> Head {
        Head {
            status,
            exception_code: None,
            format: self.format.clone(),
            coding: self.form.coding,
            tag: self.form.tag.clone(),
            progress: self.progress,
            elapsed_ns: self.started.elapsed().as_nanos(),
        }
    }
}
