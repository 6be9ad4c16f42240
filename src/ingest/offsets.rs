//! Where lines begin in the bytes of a file, whatever its encoding.
//!
//! Line ends are the same in the bytes and in the text, one for one: in none of the encodings is the byte of CR or LF a part of
//! another character. (A broken ISO-2022-JP sequence may swallow one; its offsets are then those of a line nearby.) So
//! a line is found by counting line ends, and only for rejected rows: accepted rows cost nothing.

use memchr::{memchr2_iter, memrchr2_iter};

use super::decode::Unit;

/// Knows where the unread part of the text begins in the file, and finds lines in the piece that is being read.
#[derive(Clone, Copy, Debug)]
pub struct LineOffsets {
    unit: Unit,
    /// Where the piece begins in the file.
    piece_start: u64,
    /// The first line that was not read to its end, and where it begins: in the piece or before.
    unread: (u64, u64),
    /// How far the piece was read: an index into it, and the line that goes on there.
    cursor: (usize, u64),
    /// The last character was CR: a LF that follows belongs to it.
    after_cr: bool,
}

impl LineOffsets {
    pub fn new(unit: Unit) -> Self {
        Self { unit, piece_start: 0, unread: (1, 0), cursor: (0, 1), after_cr: false }
    }

    /// The next piece is in another encoding.
    pub fn set_unit(&mut self, unit: Unit) {
        self.unit = unit;
    }

    /// The next piece begins this line, although no line ends before it.
    pub fn begin_line(&mut self, line: u64) {
        self.unread = (line, self.piece_start);
        self.cursor = (0, line);
        self.after_cr = false;
    }

    /// Returns where a line begins in the file, in bytes from 0. Lines must be asked for in rising order.
    pub fn find(&mut self, line: u64, piece: &[u8]) -> u64 {
        let (unread, start) = self.unread;
        if line == unread && start < self.piece_start {
            return start;
        }
        while self.cursor.1 < line && self.cursor.0 < piece.len() {
            self.step(piece);
        }
        // The LF of a CRLF is the end of the line before.
        if self.after_cr && self.unit.ascii_at(piece, self.cursor.0) == Some(b'\n') {
            self.step(piece);
        }
        self.piece_start + self.cursor.0 as u64
    }

    /// Returns where the last line end of a piece is, without `skipped` ones after it. A file of one line has none in all of a piece.
    fn line_end(&self, piece: &[u8], skipped: usize) -> Option<usize> {
        let width = self.unit.width();
        if width == 1 {
            return memrchr2_iter(b'\r', b'\n', piece).nth(skipped);
        }
        let is_end = |at: &usize| matches!(self.unit.ascii_at(piece, *at), Some(b'\r' | b'\n'));
        (0..piece.len() / width).rev().map(|unit| unit * width).filter(is_end).nth(skipped)
    }

    /// Goes on to the next piece. `unread`: the text that was not read to its end, which begins in `line`.
    pub fn end_piece(&mut self, piece: &[u8], unread: &[u8], line: u64) {
        if piece.is_empty() {
            // The last character is still that of the piece before: a LF that comes next may belong to its CR.
            return;
        }
        let width = self.unit.width();
        let ends_after = memchr2_iter(b'\r', b'\n', unread).count();
        // Counted from the end of the bytes, not of the text: the decoder may hold half a character that is not in it.
        let found = self.line_end(piece, ends_after).map(|at| self.piece_start + (at + width) as u64);
        // Without a line end before it, the line begins where it began.
        self.unread = (line, found.unwrap_or(self.unread.1));
        self.piece_start += piece.len() as u64;
        self.cursor = (0, line);
        self.after_cr = false;
        unread.iter().for_each(|&byte| self.count(byte));
        if let Some(last) = piece.len().checked_sub(width) {
            self.after_cr = self.unit.ascii_at(piece, last) == Some(b'\r');
        }
    }

    fn step(&mut self, piece: &[u8]) {
        match self.unit.ascii_at(piece, self.cursor.0) {
            Some(byte) => self.count(byte),
            None => self.after_cr = false,
        }
        self.cursor.0 += self.unit.width();
    }

    fn count(&mut self, byte: u8) {
        if byte == b'\r' || (byte == b'\n' && !self.after_cr) {
            self.cursor.1 += 1;
        }
        self.after_cr = byte == b'\r';
    }
}
