//! `make install` and `make uninstall`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::command::run;
use crate::harness::{ROUNDHOUSE, repository};

/// Runs a recipe that installs below `root`, with the binary under test.
async fn make(recipe: &str, root: &Path) {
    let target = Path::new(ROUNDHOUSE).ancestors().nth(2).expect("the target directory");
    let mut command = Command::new("make");
    command.arg("-C").arg(repository()).arg(recipe).env("CARGO_TARGET_DIR", target);
    command.arg("PREFIX=/opt/roundhouse").arg(format!("DESTDIR={}", root.display()));
    let said = run(command).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_runs_through_a_link_and_is_removed_completely() {
    let root = TempDir::new().unwrap();
    make("install", root.path()).await;
    let prefix = root.path().join("opt/roundhouse");
    let link = root.path().join("roundhouse");
    symlink(prefix.join("bin/roundhouse"), &link).unwrap();
    let work = TempDir::new().unwrap();
    let mut command = Command::new(&link);
    command.args(["--log", "error", "demo"]).current_dir(work.path());
    let demo = run(command).await;
    assert_eq!(demo.code, Some(0), "{}{}", demo.stdout, demo.stderr);
    assert!(demo.stdout.contains("10,000 rows: 10,000 matched"), "{}", demo.stdout);

    make("uninstall", root.path()).await;
    let left = |directory: &str| fs::read_dir(prefix.join(directory)).unwrap().count();
    assert_eq!((left("bin"), left("lib")), (0, 0));
}
