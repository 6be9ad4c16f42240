//! Holds the code to the map in `src/lib.rs`: which module, and which crate, uses which.

mod imports;
mod map;
mod modules;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use self::map::Line;
use self::modules::{Modules, Use};

const SERVER: &str = "roundhouse";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn map() -> Vec<Line> {
    map::read(&fs::read_to_string(repository().join("src/lib.rs")).expect("the map"))
}

/// Reads the server and the crates.
fn modules() -> Modules {
    let mut modules = Modules::default();
    modules.read(repository(), SERVER, Path::new("src/lib.rs"));
    for folder in crates() {
        let root = Path::new("crates").join(&folder).join("src/lib.rs");
        modules.read(repository(), &format!("{SERVER}_{folder}"), &root);
    }
    modules
}

/// The folders of the crates.
fn crates() -> BTreeSet<String> {
    let entries = fs::read_dir(repository().join("crates")).expect("a folder of crates");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

/// Returns what the map calls the place of a path: a module of the server, or a crate.
fn home(path: &[String]) -> &str {
    match path {
        [server, module, ..] if server == SERVER => module,
        _ => &path[0],
    }
}

/// The uses that cross a boundary of the map.
fn crossing(uses: &[Use]) -> impl Iterator<Item = &Use> {
    uses.iter().filter(|one| home(&one.user) != home(&one.written))
}

#[test]
fn every_module_uses_only_what_the_map_allows() {
    let (map, uses) = (map(), modules().uses());
    let violations = crossing(&uses).filter_map(|one| {
        let (user, written) = (home(&one.user), one.written.join("::"));
        let line = map.iter().find(|line| line.name == user)?;
        let allowed = line.allowed();
        (!line.allows(home(&one.written)))
            .then(|| format!("{}: {user} uses {written}; it may use: {allowed}", one.place))
    });
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "not allowed by the map in src/lib.rs:\n{}", violations.join("\n"));
}

#[test]
fn the_map_has_each_module_and_allows_nothing_that_is_not_used() {
    let (map, modules) = (map(), modules());
    let names: Vec<&str> = map.iter().map(|line| line.name.as_str()).collect();
    let mut expected = modules.children(SERVER);
    expected.extend(crates().iter().map(|folder| format!("{SERVER}_{folder}")));
    assert_eq!(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), expected);

    let uses = modules.uses();
    let used: BTreeSet<_> = crossing(&uses).map(|one| (home(&one.user), home(&one.written))).collect();
    for line in &map {
        for name in line.names() {
            assert!(used.contains(&(&*line.name, &**name)), "{} does not use {name} any more", line.name);
        }
    }
}

#[test]
fn each_line_of_the_map_allows_only_lines_below_it() {
    let map = map();
    for (number, line) in map.iter().enumerate() {
        let below: Vec<&String> = map[number + 1..].iter().map(|line| &line.name).collect();
        for name in line.names() {
            assert!(below.contains(&name), "the line of {} allows {name}, which is not below it", line.name);
        }
    }
}

#[test]
fn the_crates_depend_only_on_what_the_map_allows() {
    for line in map() {
        let Some(folder) = line.name.strip_prefix("roundhouse_") else { continue };
        let path = repository().join("crates").join(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).expect("a manifest");
        let ours = manifest.lines().filter(|line| line.starts_with("roundhouse"));
        let depends: Vec<String> =
            ours.map(|line| line.split(['.', ' ', '=']).next().unwrap_or(line).replace('-', "_")).collect();
        for name in &depends {
            assert!(
                line.allows(name),
                "{}: {name} is a dependency; allowed: {}",
                path.display(),
                line.allowed()
            );
        }
    }
}

#[test]
fn modules_do_not_use_each_other_in_a_circle() {
    let circles = modules::circles(&modules().uses());
    let circles: Vec<String> = circles.iter().map(ToString::to_string).collect();
    assert!(circles.is_empty(), "modules use each other in a circle:\n{}", circles.join("\n"));
}
