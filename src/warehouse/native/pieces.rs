//! The bytes of a column.

use bytes::Bytes;

/// Bytes are kept in pieces of about this size. A growing vector would need up to twice its size. And memory of at least this size is
/// returned to the system when it is freed ([`crate::memory`]); until it is used, it costs nothing.
const PIECE_BYTES: usize = 512 << 10;

/// Encoded values that are written at the end and never moved. No value is in two pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    full: Vec<Bytes>,
    full_bytes: usize,
    last: Vec<u8>,
}

impl Pieces {
    /// Returns where the next value is written.
    #[inline]
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.last.len() >= PIECE_BYTES || self.last.capacity() == 0 {
            self.begin_piece();
        }
        &mut self.last
    }

    #[cold]
    fn begin_piece(&mut self) {
        // The last value may go beyond the size of a piece.
        let next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 16);
        let piece = std::mem::replace(&mut self.last, next);
        self.full_bytes += piece.len();
        self.full.extend((!piece.is_empty()).then(|| Bytes::from(piece)));
    }

    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.full_bytes + self.last.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Returns the values of a fixed width.
    pub(super) fn values(&self, width: usize) -> impl Iterator<Item = &[u8]> {
        let pieces = self.full.iter().map(|piece| &piece[..]).chain([&self.last[..]]);
        pieces.flat_map(move |piece| piece.chunks_exact(width))
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = Bytes> {
        let last = (!self.last.is_empty()).then(|| Bytes::from(self.last));
        self.full.into_iter().chain(last)
    }
}
