//! The body of an upload: counted, hashed, timed, and, where it must be known whole, spooled to disk.

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

/// Bytes by which a file is recognized before it is known whole.
const HEAD_BYTES: usize = 65_536;

/// How long they may take. By default a sender may be slow for half a minute, and must then send 1 KiB a second.
const HEAD_TIME: Duration = Duration::from_secs(120);

/// Bytes of a piece that is read back from disk.
const SPOOL_PIECE_BYTES: usize = 262_144;

/// What is handed over to the thread that works on a file.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// The file is whole, with this digest. A channel that closes without this says that it is not.
    End {
        sha256: String,
    },
    /// There is no more, and this is why.
    Broken(UploadError),
}

/// A body that is taken piece by piece.
pub struct Source<S> {
    body: Body<S>,
    hash: Sha256,
    /// What was taken and not yet given out.
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

    /// Takes the first bytes, and returns their digest. Until they are there, the sender holds nothing but its connection.
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

    /// Hands the file over, piece by piece, until it ends or the thread does, which then says why.
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

    /// Takes all the rest into a file that has no name and goes with this.
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

    /// How fast the sender is.
    pub fn pace(&self) -> &Arc<Pace> {
        self.body.pace()
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.body.bytes()
    }

    /// The digest of all that was taken.
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
