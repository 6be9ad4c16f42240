//! The modules of a crate, from its files, and who uses whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::imports::Source;

/// The path of a module, from its crate.
pub(super) type ModulePath = Vec<String>;

/// That one module names something of another.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) user: ModulePath,
    /// The path as it is written, from the crate.
    pub(super) written: Vec<String>,
    /// The module that has what is named, which need not be the one that is written: names are passed on by `pub use`.
    pub(super) used: ModulePath,
    /// File and line.
    pub(super) place: String,
}

/// All modules of some crates.
#[derive(Debug, Default)]
pub(super) struct Modules {
    sources: BTreeMap<ModulePath, (PathBuf, Source)>,
}

impl Modules {
    /// Reads a crate and all modules that its files declare. `root` is the file of the crate, from the folder of the repository.
    pub(super) fn read(&mut self, repository: &Path, name: &str, root: &Path) {
        self.read_module(repository, vec![name.to_owned()], root.to_owned());
    }

    fn read_module(&mut self, repository: &Path, module: ModulePath, file: PathBuf) {
        let text = fs::read_to_string(repository.join(&file))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let source = Source::read(&text, &module);
        let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "mod") | None => file.with_file_name(""),
            Some(_) => file.with_extension(""),
        };
        for child in &source.children {
            let places = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
            let place = places.iter().find(|place| repository.join(place).is_file());
            let place = place.unwrap_or_else(|| panic!("{}: no file for `mod {child}`", file.display()));
            self.read_module(repository, [&module[..], std::slice::from_ref(child)].concat(), place.clone());
        }
        self.sources.insert(module, (file, source));
    }

    /// Returns the names of the modules directly in a crate.
    pub(super) fn children(&self, name: &str) -> BTreeSet<String> {
        self.sources
            .keys()
            .filter(|module| module.len() == 2 && module[0] == name)
            .map(|module| module[1].clone())
            .collect()
    }

    /// Returns every use of a module by another.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (user, (file, source)) in &self.sources {
            for named in &source.named {
                let used = self.owner(&named.path);
                if used != *user {
                    let place = format!("{}:{}", file.display(), named.line);
                    uses.push(Use { user: user.clone(), written: named.path.clone(), used, place });
                }
            }
        }
        uses
    }

    /// Returns the module in which a path ends, after following names that are passed on.
    fn owner(&self, path: &[String]) -> ModulePath {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let module = self.module(&path);
            let imported = path.get(module.len()).and_then(|name| {
                let (_, source) = self.sources.get(&module)?;
                source.imported.iter().find(|(alias, _)| alias == name)
            });
            match imported {
                Some((_, target)) => path = [target, &path[module.len() + 1..]].concat(),
                None => break,
            }
        }
        self.module(&path)
    }

    /// Returns the longest beginning of a path that is a module.
    fn module(&self, path: &[String]) -> ModulePath {
        let lengths = (1..=path.len()).rev();
        let known = lengths.map(|length| &path[..length]).find(|module| self.sources.contains_key(*module));
        known.unwrap_or(&path[..1]).to_vec()
    }
}

/// Modules of one parent that use each other, directly or through others.
#[derive(Debug)]
pub(super) struct Circle {
    pub(super) parent: String,
    /// Who uses whom, each with a place.
    uses: Vec<String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {}:\n  {}", self.parent, self.uses.join("\n  "))
    }
}

/// Finds modules of the same parent that use each other in a circle, directly or through others. What is inside a module counts as the
/// module.
pub(super) fn circles(uses: &[Use]) -> Vec<Circle> {
    let mut parents: BTreeMap<ModulePath, BTreeMap<(String, String), &str>> = BTreeMap::new();
    for one in uses {
        let common = one.user.iter().zip(&one.used).take_while(|(a, b)| a == b).count();
        if let (Some(user), Some(used)) = (one.user.get(common), one.used.get(common)) {
            let edges = parents.entry(one.user[..common].to_vec()).or_default();
            edges.entry((user.clone(), used.clone())).or_insert(&one.place);
        }
    }
    parents.iter().flat_map(|(parent, edges)| circles_of(parent, edges)).collect()
}

fn circles_of(parent: &[String], edges: &BTreeMap<(String, String), &str>) -> Vec<Circle> {
    let names: BTreeSet<&String> = edges.keys().flat_map(|(user, used)| [user, used]).collect();
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        names.iter().map(|name| (*name, reached(name, edges))).collect();
    let mut told = BTreeSet::new();
    let mut circles = Vec::new();
    for name in names {
        let members: BTreeSet<&String> =
            reached[name].iter().filter(|other| reached[*other].contains(name)).copied().collect();
        if members.is_empty() || !told.insert(members.clone()) {
            continue;
        }
        let inside =
            edges.iter().filter(|((user, used), _)| members.contains(user) && members.contains(used));
        let uses = inside.map(|((user, used), place)| format!("{user} uses {used}: {place}")).collect();
        circles.push(Circle { parent: parent.join("::"), uses });
    }
    circles
}

/// Returns everything that a module uses, directly or through others.
fn reached<'a>(from: &'a String, edges: &'a BTreeMap<(String, String), &str>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        next.extend(
            edges
                .keys()
                .filter(|(user, _)| user == name)
                .map(|(_, used)| used)
                .filter(|used| reached.insert(*used)),
        );
    }
    reached
}
