//! The registry's state in memory: the result of all entries of its log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::compatibility::Level;
use super::error::RegistryError;
use super::log::Entry;
use super::subject::Subject;

/// Subjects, schemas and levels.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Every schema that ever got an id, by id. They are never removed, so that no id is assigned twice.
    schemas: BTreeMap<u32, Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
    subjects: BTreeMap<String, Versions>,
    level: Option<Level>,
    subject_levels: HashMap<String, Level>,
}

pub(super) type Versions = BTreeMap<u32, Version>;

/// One version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) id: u32,
    /// Soft-deleted: hidden, but its id can still be resolved.
    pub(super) deleted: bool,
}

/// Which versions a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    Live,
    LiveAndDeleted,
    Deleted,
}

impl Visibility {
    fn shows(self, version: &Version) -> bool {
        match self {
            Self::Live => !version.deleted,
            Self::LiveAndDeleted => true,
            Self::Deleted => version.deleted,
        }
    }
}

impl State {
    /// Applies one entry of the log.
    ///
    /// # Errors
    /// The entry contradicts earlier ones. Nothing was changed.
    pub(super) fn apply(&mut self, entry: Entry) -> Result<(), &'static str> {
        match entry {
            Entry::Register { subject, version, id, schema } => {
                match schema {
                    Some(_) if self.schemas.contains_key(&id) => return Err("an id is assigned twice"),
                    Some(text) => {
                        let text: Arc<str> = text.into();
                        self.schemas.insert(id, Arc::clone(&text));
                        self.ids.insert(text, id);
                    }
                    None if !self.schemas.contains_key(&id) => return Err("a schema is missing"),
                    None => {}
                }
                self.subjects.entry(subject).or_default().insert(version, Version { id, deleted: false });
            }
            Entry::DeleteVersion { subject, version, permanent } => {
                let versions = self.subjects.get_mut(&subject).ok_or("a deleted subject is missing")?;
                if permanent {
                    versions.remove(&version);
                } else if let Some(version) = versions.get_mut(&version) {
                    version.deleted = true;
                }
                if versions.is_empty() {
                    self.subjects.remove(&subject);
                }
            }
            Entry::DeleteSubject { subject, permanent } => {
                if permanent {
                    self.subjects.remove(&subject);
                } else if let Some(versions) = self.subjects.get_mut(&subject) {
                    versions.values_mut().for_each(|version| version.deleted = true);
                }
                self.subject_levels.remove(&subject);
            }
            Entry::SetCompatibility { subject: None, level } => self.level = level,
            Entry::SetCompatibility { subject: Some(subject), level: Some(level) } => {
                self.subject_levels.insert(subject, level);
            }
            Entry::SetCompatibility { subject: Some(subject), level: None } => {
                self.subject_levels.remove(&subject);
            }
        }
        Ok(())
    }

    /// Returns the subjects that have visible versions.
    pub(super) fn subjects(&self, prefix: &str, visibility: Visibility) -> Vec<String> {
        self.subjects
            .iter()
            .filter(|(subject, versions)| {
                subject.starts_with(prefix) && versions.values().any(|version| visibility.shows(version))
            })
            .map(|(subject, _)| subject.clone())
            .collect()
    }

    /// Returns all versions of a subject, including deleted ones.
    pub(super) fn versions(&self, subject: &str) -> Option<&Versions> {
        self.subjects.get(subject)
    }

    /// Returns the visible versions of a subject, the oldest first.
    pub(super) fn visible(&self, subject: &str, visibility: Visibility) -> Vec<(u32, Version)> {
        self.subjects
            .get(subject)
            .into_iter()
            .flatten()
            .filter(|(_, version)| visibility.shows(version))
            .map(|(&number, &version)| (number, version))
            .collect()
    }

    /// Returns the visible versions of a subject that has any, the oldest first.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn versions_of(
        &self,
        subject: &Subject,
        visibility: Visibility,
    ) -> Result<Vec<(u32, Version)>, RegistryError> {
        let versions = self.visible(subject, visibility);
        if versions.is_empty() {
            Err(RegistryError::SubjectNotFound(subject.to_string()))
        } else {
            Ok(versions)
        }
    }

    /// Returns the text of a schema, also if no version uses it any more.
    pub(super) fn schema(&self, id: u32) -> Option<Arc<str>> {
        self.schemas.get(&id).cloned()
    }

    /// Returns the id of a schema by its text.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Returns an id that was never assigned.
    pub(super) fn free_id(&self) -> u32 {
        self.schemas.last_key_value().map_or(1, |(id, _)| id + 1)
    }

    /// Returns the subjects and versions that use an id.
    pub(super) fn uses(&self, id: u32, visibility: Visibility) -> Vec<(String, u32)> {
        let mut uses = Vec::new();
        for (subject, versions) in &self.subjects {
            let found = versions.iter().filter(|(_, version)| version.id == id && visibility.shows(version));
            uses.extend(found.map(|(&number, _)| (subject.clone(), number)));
        }
        uses
    }

    /// Returns the global compatibility level.
    pub(super) fn global_level(&self) -> Level {
        self.level.unwrap_or_default()
    }

    /// Returns the subject's own level, if it has one.
    pub(super) fn subject_level(&self, subject: &str) -> Option<Level> {
        self.subject_levels.get(subject).copied()
    }

    /// Returns the level that applies to a subject.
    pub(super) fn level(&self, subject: &str) -> Level {
        self.subject_level(subject).unwrap_or_else(|| self.global_level())
    }
}
