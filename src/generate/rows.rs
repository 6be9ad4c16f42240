//! Writes rows from a buffer.

use std::io::{self, Write};

use super::pace::Pace;

/// The buffer is written when it has this many bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes rows, as fast as possible or at a fixed rate.
pub(super) struct Rows<W> {
    out: W,
    buffer: Vec<u8>,
    written: u64,
    pace: Option<Pace>,
}

impl<W: Write> Rows<W> {
    pub(super) fn new(out: W, rows_per_second: Option<u64>) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES * 2);
        Self { out, buffer, written: 0, pace: rows_per_second.map(Pace::new) }
    }

    /// Returns the buffer, to which the next row is added.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Waits until the next row may be written. What is in the buffer is written before.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let is_ahead = self.pace.as_ref().is_some_and(|pace| pace.is_ahead(self.written));
        if is_ahead || self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        if is_ahead && let Some(pace) = &mut self.pace {
            self.out.flush()?;
            pace.wait(self.written);
        }
        Ok(())
    }

    /// Counts a row that was added to the buffer.
    pub(super) fn count(&mut self) {
        self.written += 1;
    }

    /// Writes what is left. Returns the number of rows.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.write_buffer()?;
        self.out.flush()?;
        Ok(self.written)
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
