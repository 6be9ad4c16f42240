//! The object store of the catalogue: local files that are on disk when `put` returns.
//!
//! `object_store::local::LocalFileSystem` does not sync its files. A power cut could then undo what was acknowledged, or leave an empty
//! file where the database expects one of its own.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use slatedb::object_store::local::LocalFileSystem;
use slatedb::object_store::path::Path;
use slatedb::object_store::{
    Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::durable::sync_directory;

const STORE: &str = "durable files";

#[derive(Debug)]
pub(super) struct DurableFiles {
    root: PathBuf,
    files: LocalFileSystem,
    drafts: AtomicU64,
}

impl DurableFiles {
    /// Stores objects under `root`, which must exist.
    pub fn new(root: &FilePath) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let files = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
        let drafts = root.join("drafts");
        if drafts.exists() {
            fs::remove_dir_all(&drafts)?;
        }
        fs::create_dir_all(&drafts)?;
        Ok(Self { root, files, drafts: AtomicU64::new(0) })
    }
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE} in {}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let target = self.files.path_to_filesystem(location)?;
        let draft = self.root.join("drafts").join(self.drafts.fetch_add(1, Ordering::Relaxed).to_string());
        let create = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(Error::NotImplemented),
        };
        let written = tokio::task::spawn_blocking(move || put(&draft, &target, &payload, create)).await;
        match written.map_err(|error| generic(error.into()))? {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: error.into() })
            }
            Err(error) => Err(generic(error)),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        self.files.delete(location).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        self.files.copy(from, to).await
    }

    async fn copy_if_not_exists(&self, from: &Path, to: &Path) -> Result<()> {
        self.files.copy_if_not_exists(from, to).await
    }
}

/// Writes a draft file, syncs it, and then gives it its final name.
fn put(draft: &FilePath, target: &FilePath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let mut file = File::create(draft)?;
    payload.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    let directory = target.parent().ok_or_else(|| io::Error::other("the object's path has no directory"))?;
    if !directory.exists() {
        fs::create_dir_all(directory)?;
        directory.parent().map_or(Ok(()), sync_directory)?;
    }
    if create {
        let linked = fs::hard_link(draft, target);
        fs::remove_file(draft)?;
        linked?;
    } else {
        fs::rename(draft, target)?;
    }
    sync_directory(directory)
}

fn generic(error: io::Error) -> Error {
    Error::Generic { store: STORE, source: error.into() }
}
