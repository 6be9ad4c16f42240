//! The catalogue: which topics there are. One small file, which is replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use roundhouse_part::durable::{read_if_exists, replace_file};
use roundhouse_part::lock;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of the file.
const FILE: &str = "topics.json";

/// The directory in which earlier versions kept the catalogue, in another format.
const EARLIER: &str = "catalogue";

/// Raised when the meaning of the file changes, so that an older binary does not misread it.
const FORMAT: u32 = 1;

/// A topic in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicEntry {
    pub name: String,
    pub id: Uuid,
    pub partitions: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    topics: Vec<TopicEntry>,
}

/// The topics by name. A change is on disk before it is visible.
#[derive(Debug)]
pub(crate) struct Catalogue {
    path: PathBuf,
    topics: RwLock<BTreeMap<String, TopicEntry>>,
}

impl Catalogue {
    /// Reads the catalogue in a directory.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or was written by another version.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let topics = match read_if_exists(&path)? {
            Some(bytes) => {
                parse(&bytes).map_err(|reason| invalid(format!("{}: {reason}", path.display())))?
            }
            None if directory.join(EARLIER).try_exists()? => {
                return Err(invalid(
                    "an earlier version of roundhouse wrote it in another format; move it away and upload the files again".to_owned(),
                ));
            }
            None => Vec::new(),
        };
        let topics = topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
        Ok(Self { path, topics: RwLock::new(topics) })
    }

    /// Returns all topics, in the order of their names.
    pub fn topics(&self) -> Vec<TopicEntry> {
        lock::read(&self.topics).values().cloned().collect()
    }

    /// Returns the topic with this name.
    pub fn topic(&self, name: &str) -> Option<TopicEntry> {
        lock::read(&self.topics).get(name).cloned()
    }

    /// Adds a topic, or replaces the one with its name. Blocks until that is on disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, topic: TopicEntry) -> io::Result<()> {
        self.change(|topics| drop(topics.insert(topic.name.clone(), topic)))
    }

    /// Removes a topic. Blocks until that is on disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|topics| drop(topics.remove(name)))
    }

    /// Changes the topics. Only one caller at a time may do so (`Broker::topic_changes`).
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, TopicEntry>)) -> io::Result<()> {
        let mut topics = lock::read(&self.topics).clone();
        change(&mut topics);
        let contents = Contents { format: FORMAT, topics: topics.values().cloned().collect() };
        replace_file(&self.path, &serde_json::to_vec_pretty(&contents)?)?;
        *lock::write(&self.topics) = topics;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<TopicEntry>, String> {
    let contents: Contents = serde_json::from_slice(bytes).map_err(|error| {
        format!("it is damaged ({error}); restore the whole data directory from one backup")
    })?;
    match contents.format {
        FORMAT => Ok(contents.topics),
        other => Err(format!(
            "it has the format {other} of another version of roundhouse; this one reads {FORMAT}"
        )),
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, partitions: u32) -> TopicEntry {
        TopicEntry { name: name.to_owned(), id: Uuid::new_v4(), partitions }
    }

    #[test]
    fn changes_are_there_after_a_restart() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let catalogue = Catalogue::open(directory.path()).expect("opened");
        let (bets, steps) = (entry("bets", 3), entry("steps", 1));
        catalogue.put(bets.clone()).expect("stored");
        catalogue.put(steps.clone()).expect("stored");
        catalogue.put(TopicEntry { partitions: 5, ..steps.clone() }).expect("stored");
        catalogue.remove("bets").expect("removed");
        let again = Catalogue::open(directory.path()).expect("opened again");
        assert_eq!(again.topics(), [TopicEntry { partitions: 5, ..steps }]);
        assert_eq!(again.topic("bets"), None);
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        Catalogue::open(directory.path()).expect("opened").put(entry("bets", 3)).expect("stored");
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).expect("read");
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            let error = Catalogue::open(directory.path()).expect_err("damaged").to_string();
            assert!(error.contains("damaged") && error.contains("restore"), "{length}: {error}");
        }
        std::fs::write(&path, br#"{"format":2,"topics":[]}"#).expect("written");
        let error = Catalogue::open(directory.path()).expect_err("newer").to_string();
        assert!(error.contains("format 2"), "{error}");
    }

    #[test]
    fn a_directory_of_an_earlier_version_is_not_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(directory.path().join(EARLIER)).expect("created");
        let error = Catalogue::open(directory.path()).expect_err("earlier").to_string();
        assert!(error.contains("earlier version"), "{error}");
    }
}
