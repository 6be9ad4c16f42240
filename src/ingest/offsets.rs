//! Where lines begin in the bytes of a file, whatever its encoding.
//!
//! Line ends are the same in the bytes and in the text, one for one: in none of the encodings is the byte of CR or LF a part of
//! another character. (A broken ISO-2022-JP sequence may swallow one; its offsets are then those of a line nearby.) So
//! a line is found by counting line ends, and only where someone asks: rows that are accepted pay nothing for it.

use super::decode::Unit;

/// Knows where the unread part of the text begins in the file, and finds lines in the piece that is being read.
#[derive(Clone, Copy, Debug)]
pub struct LineOffsets {
    unit: Unit,
    /// Where the piece begins in the file.
    piece_start: u64,
    /// The line that the piece goes on with, and where it begins, if it begins before the piece.
    unread: Option<(u64, u64)>,
    /// How far the piece was looked through: an index into it, and the line that goes on there.
    cursor: (usize, u64),
    after_cr: bool,
}

impl LineOffsets {
    pub fn new(unit: Unit) -> Self {
        Self { unit, piece_start: 0, unread: None, cursor: (0, 1), after_cr: false }
    }

    /// Returns where a line begins in the file, in bytes from 0. Lines must be asked for in rising order.
    pub fn find(&mut self, line: u64, piece: &[u8]) -> u64 {
        if let Some((unread, start)) = self.unread
            && line == unread
        {
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

    /// Goes on to the next piece. `unread`: the text that was not read to its end, which `line` goes on with; `after_cr`: a
    /// LF that it begins with belongs to the line before.
    pub fn end_piece(&mut self, piece: &[u8], unread: &[u8], line: u64, after_cr: bool) {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let ends_after = unread.iter().filter(|byte| is_end(byte)).count();
        let mut ends = (0..piece.len() / self.unit.width())
            .rev()
            .map(|unit| unit * self.unit.width())
            .filter(|&at| self.unit.ascii_at(piece, at).as_ref().is_some_and(is_end));
        let start = ends.nth(ends_after).map(|at| self.piece_start + (at + self.unit.width()) as u64);
        self.piece_start += piece.len() as u64;
        let earlier = self.unread.map_or(self.piece_start, |(_, start)| start);
        self.unread = (!unread.is_empty()).then_some((line, start.unwrap_or(earlier)));
        self.after_cr = after_cr;
        self.cursor = (0, line);
        for &byte in unread.iter() {
            self.count(byte);
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
