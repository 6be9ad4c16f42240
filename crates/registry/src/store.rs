//! The operations of the registry on its log and its state.
//!
//! A change is first checked, then written to the log, then visible; one change at a time. All functions block.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use super::RegistryError;
use super::compatibility::{self, Level};
use super::log::{self, Entry, Log};
use super::schema::AvroSchema;
use super::state::{State, Version, Visibility};
use super::subject::{Subject, VersionSelector};
use roundhouse_part::EmbeddedError;
use roundhouse_part::lock::{self, lock};

#[derive(Debug)]
pub(super) struct Store {
    /// Locked from the check of a change until it is complete, so that the result of the check stays valid.
    log: Mutex<Log>,
    state: RwLock<State>,
}

/// A version of a subject, with its schema.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) version: u32,
    pub(super) id: u32,
    pub(super) schema: Arc<str>,
}

impl Store {
    /// Opens the registry in `directory`.
    ///
    /// # Errors
    /// Its file cannot be read or written, or is damaged.
    pub(super) fn open(directory: &Path) -> Result<Self, EmbeddedError> {
        let mut state = State::default();
        let log = Log::open(directory, log::FILE, |entry| state.apply(entry))?;
        Ok(Self { log: Mutex::new(log), state: RwLock::new(state) })
    }

    /// Returns the state for reading. Do not hold it across other calls of the store.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        lock::read(&self.state)
    }

    /// Registers a schema under a subject and returns its id. If it is already registered, returns the existing id. The registry assigns ids
    /// itself: another `wanted` id is refused.
    pub(super) fn register(
        &self,
        subject: &Subject,
        schema: &AvroSchema,
        wanted: Option<i64>,
    ) -> Result<u32, RegistryError> {
        let mut log = self.log();
        let entry = {
            let state = self.state();
            let known = state.id(&schema.text);
            let live = state.visible(subject, Visibility::Live);
            if let Some(id) = known
                && live.iter().any(|(_, version)| version.id == id)
                && wanted.is_none_or(|wanted| wanted == i64::from(id))
            {
                return Ok(id);
            }
            if wanted.is_some() {
                return Err(RegistryError::NotInImportMode(subject.to_string()));
            }
            let level = state.level(subject);
            let depth = if level.is_transitive() { usize::MAX } else { 1 };
            let earlier: Vec<_> = live.into_iter().rev().take(depth).collect();
            let details = conflicts(&state, level, schema, &earlier)?;
            if !details.is_empty() {
                return Err(RegistryError::Incompatible { subject: subject.to_string(), details });
            }
            Entry::Register {
                subject: subject.to_string(),
                version: next_version(&state, subject),
                id: known.unwrap_or_else(|| state.free_id()),
                schema: known.is_none().then(|| schema.text.to_string()),
            }
        };
        let Entry::Register { id, version, .. } = entry else { return Err(RegistryError::Internal) };
        self.commit(&mut log, entry)?;
        tracing::info!(subject = %subject, version, id, "schema registered");
        Ok(id)
    }

    /// Returns why a schema is not compatible with the chosen version of a subject, or with the versions that its level requires.
    pub(super) fn conflicts(
        &self,
        subject: &Subject,
        against: Option<VersionSelector>,
        schema: &AvroSchema,
    ) -> Result<Vec<String>, RegistryError> {
        let state = self.state();
        let level = state.level(subject);
        let live = state.visible(subject, Visibility::Live);
        let earlier = match against {
            Some(VersionSelector::Number(number)) => {
                let version = live.iter().find(|(version, _)| *version == number);
                vec![*version.ok_or_else(|| RegistryError::VersionNotFound(number.to_string()))?]
            }
            Some(VersionSelector::Latest) => live.last().copied().into_iter().collect(),
            None if level.is_transitive() => live.into_iter().rev().collect(),
            None => live.last().copied().into_iter().collect(),
        };
        conflicts(&state, level, schema, &earlier)
    }

    /// Finds the version of a subject that has a schema.
    pub(super) fn look_up(
        &self,
        subject: &Subject,
        schema: &AvroSchema,
        visibility: Visibility,
    ) -> Result<Registered, RegistryError> {
        let state = self.state();
        let versions = state.versions_of(subject, visibility)?;
        let id = state.id(&schema.text);
        let found = versions.iter().rev().find(|(_, version)| Some(version.id) == id);
        let (version, Version { id, .. }) = found.copied().ok_or(RegistryError::SchemaNotFound)?;
        Ok(Registered { version, id, schema: Arc::clone(&schema.text) })
    }

    /// Returns a version of a subject.
    pub(super) fn version(
        &self,
        subject: &Subject,
        selector: VersionSelector,
        visibility: Visibility,
    ) -> Result<Registered, RegistryError> {
        let state = self.state();
        let versions = state.versions_of(subject, visibility)?;
        let found = match selector {
            VersionSelector::Latest => versions.last(),
            VersionSelector::Number(number) => versions.iter().find(|(version, _)| *version == number),
        };
        let (version, Version { id, .. }) =
            found.copied().ok_or_else(|| RegistryError::VersionNotFound(selector.to_string()))?;
        let schema = state.schema(id).ok_or(RegistryError::Internal)?;
        Ok(Registered { version, id, schema })
    }

    /// Deletes all versions of a subject. Returns their numbers.
    pub(super) fn delete_subject(
        &self,
        subject: &Subject,
        permanent: bool,
    ) -> Result<Vec<u32>, RegistryError> {
        let mut log = self.log();
        let numbers = {
            let state = self.state();
            let versions =
                state.versions(subject).ok_or_else(|| RegistryError::SubjectNotFound(subject.to_string()))?;
            let any_live = versions.values().any(|version| !version.deleted);
            match (permanent, any_live) {
                (false, false) => return Err(RegistryError::SubjectSoftDeleted(subject.to_string())),
                (true, true) => return Err(RegistryError::SubjectNotSoftDeleted(subject.to_string())),
                _ => {}
            }
            let gone = versions.iter().filter(|(_, version)| permanent || !version.deleted);
            gone.map(|(&number, _)| number).collect()
        };
        self.commit(&mut log, Entry::DeleteSubject { subject: subject.to_string(), permanent })?;
        Ok(numbers)
    }

    /// Deletes one version of a subject. Returns its number.
    pub(super) fn delete_version(
        &self,
        subject: &Subject,
        selector: VersionSelector,
        permanent: bool,
    ) -> Result<u32, RegistryError> {
        let mut log = self.log();
        let number = {
            let state = self.state();
            let versions =
                state.versions(subject).ok_or_else(|| RegistryError::SubjectNotFound(subject.to_string()))?;
            let found = match selector {
                VersionSelector::Number(number) => versions.get_key_value(&number),
                VersionSelector::Latest => versions.iter().rfind(|(_, version)| version.deleted == permanent),
            };
            let (&number, version) =
                found.ok_or_else(|| RegistryError::VersionNotFound(selector.to_string()))?;
            match (permanent, version.deleted) {
                (false, true) => {
                    return Err(RegistryError::VersionSoftDeleted(subject.to_string(), number));
                }
                (true, false) => {
                    return Err(RegistryError::VersionNotSoftDeleted(subject.to_string(), number));
                }
                _ => number,
            }
        };
        let entry = Entry::DeleteVersion { subject: subject.to_string(), version: number, permanent };
        self.commit(&mut log, entry)?;
        Ok(number)
    }

    /// Sets the level of a subject, or the global one.
    pub(super) fn set_level(&self, subject: Option<&Subject>, level: Level) -> Result<(), RegistryError> {
        let subject = subject.map(Subject::to_string);
        self.commit(&mut self.log(), Entry::SetCompatibility { subject, level: Some(level) })
    }

    /// Resets a subject's level to the global one, or the global one to the default. Returns the previous level.
    pub(super) fn reset_level(&self, subject: Option<&Subject>) -> Result<Level, RegistryError> {
        let mut log = self.log();
        let level = match subject {
            None => self.state().global_level(),
            Some(subject) => self
                .state()
                .subject_level(subject)
                .ok_or_else(|| RegistryError::SubjectNotFound(subject.to_string()))?,
        };
        let subject = subject.map(Subject::to_string);
        self.commit(&mut log, Entry::SetCompatibility { subject, level: None })?;
        Ok(level)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Makes a change durable, then visible.
    fn commit(&self, log: &mut Log, entry: Entry) -> Result<(), RegistryError> {
        log.append(&entry)?;
        let mut state = lock::write(&self.state);
        state.apply(entry).map_err(|reason| {
            tracing::error!(reason, "a logged change contradicts the state");
            RegistryError::Internal
        })
    }
}

/// Returns why a schema is not compatible with each of `earlier`.
fn conflicts(
    state: &State,
    level: Level,
    schema: &AvroSchema,
    earlier: &[(u32, Version)],
) -> Result<Vec<String>, RegistryError> {
    let mut details = Vec::new();
    if level == Level::None {
        return Ok(details);
    }
    for (number, version) in earlier {
        let text = state.schema(version.id).ok_or(RegistryError::Internal)?;
        let found = compatibility::conflicts(level, &schema.parsed, &AvroSchema::read(&text)?)?;
        if !found.is_empty() {
            details.extend(found);
            details.push(format!("{{oldSchemaVersion: {number}}}"));
            details.push(format!("{{compatibility: '{}'}}", level.name()));
            break;
        }
    }
    Ok(details)
}

fn next_version(state: &State, subject: &Subject) -> u32 {
    state.versions(subject).and_then(|versions| versions.last_key_value()).map_or(1, |(number, _)| number + 1)
}
