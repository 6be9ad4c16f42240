//! Everything on disk is accessible to its owner only.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::harness::files::{HEADER, lines};
use crate::harness::process::until;
use crate::harness::server::Server;

/// Returns everything below a directory, and the directory itself, that others can access. Skips what disappears in the meantime.
fn open_to_others(path: &Path, found: &mut Vec<(PathBuf, u32)>, seen: &mut usize) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_symlink() {
        return;
    }
    *seen += 1;
    if metadata.mode() & 0o077 != 0 {
        found.push((path.to_owned(), metadata.mode() & 0o777));
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            open_to_others(&entry.path(), found, seen);
        }
    }
}

fn assert_private(directory: &Path) {
    let (mut found, mut seen) = (Vec::new(), 0);
    open_to_others(directory, &mut found, &mut seen);
    assert!(found.is_empty(), "{found:?}");
    assert!(seen > 50, "{seen} files and directories");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_cannot_read_what_a_server_writes() {
    let mut server = Server::start(&[]).await;
    let data = server.data_dir();
    let ready_file = data.parent().unwrap().join("ready.json");
    assert_eq!(fs::metadata(&ready_file).unwrap().mode() & 0o777, 0o600);
    let rows = format!("{HEADER}\n{}not a row\n", lines(0..200));
    server.upload(rows.clone(), "wait=visible").await.ok();

    // A file that is still being received for its reconciliation is in the spool directory.
    let (sender, pieces) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(pieces));
    let request = reqwest::Client::new().post(server.url("/reconcile")).body(body);
    let sending = tokio::spawn(request.send());
    sender.send(Ok(rows.into_bytes())).await.unwrap();
    let spool = data.join("reconcile");
    until("there is a file in the spool directory", async || {
        fs::read_dir(&spool).ok()?.flatten().any(|entry| entry.path().is_file()).then_some(())
    })
    .await;
    for part in ["broker/log", "registry", "clickhouse/data", "spool", "reconcile", "owner"] {
        assert!(data.join(part).exists(), "{part}");
    }
    assert_private(&data);
    drop(sender);
    assert_eq!(sending.await.unwrap().unwrap().status(), 202);

    // A directory of an earlier version, which was accessible to all.
    server.stop().await;
    let directories = ["", "broker", "registry", "clickhouse"].map(|name| data.join(name));
    for directory in &directories {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    server.restart().await;
    for directory in &directories {
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700, "{}", directory.display());
    }
}
