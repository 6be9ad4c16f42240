//! The body of an upload: counted, hashed and timed. It is spooled to disk if the whole of it must be known first.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Storage, UploadError};
use crate::disk;
use crate::ingest::body::{Body, BodyLimits, Stop};
use crate::ingest::pace::Pace;

/// Number of first bytes by which a file is recognized before all of it has arrived.
const HEAD_BYTES: usize = 65_536;

/// Time for these bytes. By default a sender may be slow for half a minute, and must then send 1 KiB per second.
const HEAD_TIME: Duration = Duration::from_secs(120);

/// Size of a piece that is read from the spool.
const SPOOL_PIECE_BYTES: usize = 262_144;

/// A message to the thread that reads a file.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// The file is complete, with this digest. If the channel closes without this message, it is not.
    End {
        sha256: String,
    },
    /// The file ends here, for this reason.
    Broken(UploadError),
}

/// A body that is read piece by piece.
pub struct Source<S> {
    body: Body<S>,
    hash: Sha256,
    /// Bytes that were read and not yet sent on.
    held: Bytes,
    spooled: Option<File>,
}

impl<S, E> Source<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    pub fn new(body: S, limits: BodyLimits, stop: Stop) -> Self {
        let body = Body::new(body, limits, stop);
        Self { body, hash: Sha256::new(), held: Bytes::new(), spooled: None }
    }

    /// Reads the first bytes, and returns their digest. Until then the sender uses only its connection.
    pub async fn head(&mut self) -> Result<String, UploadError> {
        let head = tokio::time::timeout(HEAD_TIME, self.take_head()).await;
        head.unwrap_or_else(|_| {
            let seconds = HEAD_TIME.as_secs();
            let (found, least) = (self.bytes() / seconds, HEAD_BYTES as u64 / seconds);
            Err(UploadError::TooSlow { found, least })
        })
    }

    async fn take_head(&mut self) -> Result<String, UploadError> {
        self.body.begin().await?;
        let mut head = BytesMut::new();
        while head.len() < HEAD_BYTES {
            match self.take().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => break,
            }
        }
        self.held = head.freeze();
        Ok(hex(Sha256::digest(self.held.get(..HEAD_BYTES).unwrap_or(&self.held))))
    }

    /// Returns the first bytes. Only between [`Source::head`] and the next call.
    pub fn first_bytes(&self) -> &[u8] {
        &self.held
    }

    /// Returns the next piece; none at the end of the file.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        match &mut self.spooled {
            None => self.take().await,
            Some(file) => {
                let mut piece = BytesMut::with_capacity(SPOOL_PIECE_BYTES);
                let read = file.read_buf(&mut piece).await.map_err(spool_error)?;
                Ok((read > 0).then(|| piece.freeze()))
            }
        }
    }

    /// Sends the file piece by piece until it ends or the thread does. The thread then knows why.
    pub async fn feed<P: From<Piece>>(&mut self, pieces: &mpsc::Sender<P>) {
        loop {
            let (piece, is_last) = match self.next().await {
                Ok(Some(bytes)) => (Piece::Bytes(bytes), false),
                Ok(None) => (Piece::End { sha256: self.sha256() }, true),
                Err(error) => (Piece::Broken(error), true),
            };
            if pieces.send(P::from(piece)).await.is_err() || is_last {
                return;
            }
        }
    }

    /// Reads the rest into a file without a name, which is deleted together with this.
    pub async fn spool(&mut self, storage: &Storage) -> Result<(), UploadError> {
        let mut file = File::from_std(tempfile::tempfile_in(&storage.spool).map_err(spool_error)?);
        file.write_all(&std::mem::take(&mut self.held)).await.map_err(spool_error)?;
        while let Some(piece) = self.take().await? {
            storage.disk.check()?;
            file.write_all(&piece).await.map_err(spool_error)?;
        }
        file.flush().await.map_err(spool_error)?;
        file.rewind().await.map_err(spool_error)?;
        self.spooled = Some(file);
        Ok(())
    }

    /// Returns the speed of the sender.
    pub fn pace(&self) -> &Arc<Pace> {
        self.body.pace()
    }

    /// Returns the number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.body.bytes()
    }

    /// Returns the digest of all bytes read so far.
    pub fn sha256(&self) -> String {
        hex(self.hash.clone().finalize())
    }

    async fn take(&mut self) -> Result<Option<Bytes>, UploadError> {
        let piece = self.body.next().await?;
        if let Some(piece) = &piece {
            self.hash.update(piece);
        }
        Ok(piece)
    }
}

fn spool_error(error: std::io::Error) -> UploadError {
    if disk::is_full(&error) {
        return UploadError::ServiceDiskFull { service: "the server" };
    }
    UploadError::Internal(format!("the data directory cannot be used: {error}"))
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
