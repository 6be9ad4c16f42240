//! The files of datasets: those in the binary, and those in a directory of `--datasets`.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::DatasetError;

static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/schemas");
static QUERIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/queries");

static DATA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/data");

/// Most bytes of a sample.
const MAX_SAMPLE_BYTES: u64 = 64 << 20;

/// The sample of bets, which has another name than the dataset.
const SAMPLE_OF_BETS: &str = "gamerounds";

/// Most bytes of one file.
const MAX_BYTES: u64 = 1 << 20;

/// The folder of `queries` with the statements of the engine. It is no dataset.
const ENGINE: &str = "engine";

/// One file, with the path that messages name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub path: String,
    pub text: String,
}

/// A file with one SQL statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFile {
    /// The path that messages name.
    pub path: String,
    /// The name of the file without `.sql`.
    pub name: String,
    pub text: String,
}

/// All files of one dataset.
#[derive(Clone, Debug)]
pub struct Files {
    pub schema: TextFile,
    pub description: TextFile,
    /// Each in the order of their names.
    pub tables: Vec<SqlFile>,
    pub endpoints: Vec<SqlFile>,
    pub checks: Vec<SqlFile>,
}

/// Some rows of a dataset: `data/NAME.csv`, or with another ending.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The path that messages name.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// Where datasets come from: the folders `schemas` and `queries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They are in the binary.
    Shipped,
    Directory(PathBuf),
}

impl Origin {
    /// Returns the names of the datasets, in alphabetical order.
    ///
    /// # Errors
    /// The directory cannot be read, or has no folder `queries`.
    pub fn names(&self) -> Result<Vec<String>, DatasetError> {
        let mut names = match self {
            Self::Shipped => QUERIES
                .dirs()
                .filter_map(|folder| folder.path().file_name()?.to_str())
                .map(str::to_owned)
                .collect::<Vec<_>>(),
            Self::Directory(directory) => folders(&directory.join("queries"))?,
        };
        names.retain(|name| name != ENGINE);
        names.sort();
        Ok(names)
    }

    /// Reads the files of a dataset. None if it has no folder in `queries`.
    ///
    /// # Errors
    /// A file does not exist, is not UTF-8, is too large, or cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Files>, DatasetError> {
        if !self.names()?.iter().any(|known| known == name) {
            return Ok(None);
        }
        let folder = |what: &str| self.sql_files(&format!("queries/{name}/{what}"));
        Ok(Some(Files {
            schema: self.file(&format!("schemas/{name}.avsc"))?,
            description: self.file(&format!("queries/{name}/dataset.toml"))?,
            tables: folder("tables")?,
            endpoints: folder("endpoints")?,
            checks: folder("checks")?,
        }))
    }

    /// Reads the sample of a dataset. None if it has none.
    ///
    /// # Errors
    /// It is too large, or cannot be read.
    pub fn sample(&self, name: &str) -> Result<Option<Sample>, DatasetError> {
        let is_sample = |path: &&Path, name: &str| path.file_stem().is_some_and(|stem| stem == name);
        match self {
            Self::Shipped => {
                let name = if name == super::BETS { SAMPLE_OF_BETS } else { name };
                let file = DATA.files().find(|file| is_sample(&file.path(), name));
                Ok(file.map(|file| Sample {
                    path: format!("data/{}", file.path().display()),
                    bytes: file.contents().to_owned(),
                }))
            }
            Self::Directory(directory) => {
                let folder = directory.join("data");
                let paths = if folder.exists() { entries(&folder)? } else { Vec::new() };
                let has_ending = |path: &&PathBuf| path.extension().is_some() && path.is_file();
                let path = paths.iter().filter(has_ending).find(|path| is_sample(&path.as_path(), name));
                path.map(|path| {
                    let named = path.display().to_string();
                    Ok(Sample { bytes: bytes(path, MAX_SAMPLE_BYTES)?, path: named })
                })
                .transpose()
            }
        }
    }

    fn file(&self, path: &str) -> Result<TextFile, DatasetError> {
        match self {
            Self::Shipped => {
                let text = shipped(path).and_then(|file| file.contents_utf8());
                let text = text.ok_or_else(|| DatasetError::NoFile { path: path.to_owned() })?;
                Ok(TextFile { path: path.to_owned(), text: text.to_owned() })
            }
            Self::Directory(directory) => read(&directory.join(path)),
        }
    }

    fn sql_files(&self, folder: &str) -> Result<Vec<SqlFile>, DatasetError> {
        let files = match self {
            Self::Shipped => {
                let relative = folder.strip_prefix("queries/").unwrap_or(folder);
                let files = QUERIES.get_dir(relative).into_iter().flat_map(Dir::files);
                files
                    .filter_map(|file| Some(format!("queries/{}", file.path().to_str()?)))
                    .filter(|path| path.ends_with(".sql"))
                    .map(|path| self.file(&path))
                    .collect::<Result<Vec<_>, _>>()?
            }
            Self::Directory(directory) => sql_paths(&directory.join(folder))?
                .iter()
                .map(|path| read(path))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let mut files: Vec<SqlFile> = files.into_iter().map(SqlFile::from).collect();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }
}

impl From<TextFile> for SqlFile {
    fn from(file: TextFile) -> Self {
        let name = Path::new(&file.path).file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        Self { name: name.to_owned(), path: file.path, text: file.text }
    }
}

fn shipped(path: &str) -> Option<&'static include_dir::File<'static>> {
    match path.split_once('/')? {
        ("schemas", rest) => SCHEMAS.get_file(rest),
        ("queries", rest) => QUERIES.get_file(rest),
        _ => None,
    }
}

fn read(path: &Path) -> Result<TextFile, DatasetError> {
    let name = path.display().to_string();
    match String::from_utf8(bytes(path, MAX_BYTES)?) {
        Ok(text) => Ok(TextFile { path: name, text }),
        Err(error) => {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            Err(DatasetError::Unreadable { path: name, source })
        }
    }
}

fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, DatasetError> {
    let name = path.display().to_string();
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DatasetError::NoFile { path: name.clone() },
        _ => DatasetError::Unreadable { path: name.clone(), source },
    };
    if path.metadata().map_err(failed)?.len() > limit {
        return Err(DatasetError::TooLarge { path: name, limit });
    }
    std::fs::read(path).map_err(failed)
}

/// Returns the names of the folders in a directory.
fn folders(directory: &Path) -> Result<Vec<String>, DatasetError> {
    let entries = entries(directory)?;
    let folders = entries.into_iter().filter(|entry| entry.is_dir());
    Ok(folders.filter_map(|entry| Some(entry.file_name()?.to_str()?.to_owned())).collect())
}

/// Returns the SQL files in a directory; none if it does not exist.
fn sql_paths(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut paths = entries(directory)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    Ok(paths)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |source| DatasetError::Unreadable { path: directory.display().to_string(), source };
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}
