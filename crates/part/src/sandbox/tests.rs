//! The sandbox applies to threads, so each test can try it on its own thread.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use super::*;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs `work` in a sandbox. Skips it on a kernel that does not enforce everything.
fn confined(needs: &Needs, work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            let missing = confine(needs);
            if missing.is_empty() { work() } else { eprintln!("skipped: {missing:?}") }
        });
        confined.join().unwrap();
    });
}

fn needs(directory: &Path) -> Needs {
    Needs::of_directory("test", directory, ANY).unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: io::Result<T>) {
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// Returns the error number of a failed system call.
fn error_of(returned: i64) -> Option<i32> {
    (returned < 0).then(|| io::Error::last_os_error().raw_os_error()).flatten()
}

#[test]
fn files_outside_its_own_directories_cannot_be_reached() {
    let (own, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (own, outside) = (own.path(), outside.path());
    let secret = outside.join("secret");
    fs::write(&secret, "secret").unwrap();
    confined(&needs(own), || {
        fs::create_dir_all(own.join("a/b")).unwrap();
        fs::write(own.join("a/file"), "x").unwrap();
        fs::rename(own.join("a/file"), own.join("a/b/file")).unwrap();
        fs::write(own.join("a/b/file"), "y").unwrap();
        std::os::unix::fs::symlink(&secret, own.join("link")).unwrap();

        for path in [&secret, &own.join("link"), Path::new("/etc/passwd"), Path::new("/proc/1/cmdline")] {
            assert_refused(fs::read(path));
        }
        for path in [secret.clone(), outside.join("new"), own.join("link"), "/tmp/roundhouse-sandbox".into()]
        {
            assert_refused(fs::write(path, "x"));
        }
        assert_refused(fs::read_dir(outside));
        assert_refused(fs::create_dir(outside.join("new")));
        assert_refused(fs::remove_file(&secret));
        assert_refused(fs::rename(own.join("a/b/file"), outside.join("new")));
        assert_refused(fs::set_permissions(&secret, fs::Permissions::from_mode(0o777)));
        assert_refused(UnixListener::bind(own.join("socket")));
        fs::remove_dir_all(own.join("a")).unwrap();
    });
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
}

#[test]
fn a_part_cannot_start_or_signal_programs_and_processes() {
    let own = tempfile::tempdir().unwrap();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let other_pid = i32::try_from(other.id()).unwrap();
    confined(&needs(own.path()), || {
        assert_refused(Command::new("/bin/true").status());
        // The part cannot run a script that it has written either.
        let script = own.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        assert_refused(Command::new(&script).status());
        // SAFETY: none of these calls succeeds. If one did, the test would fail, or its process would end.
        let refused = unsafe {
            [
                error_of(libc::fork().into()),
                error_of(libc::kill(other_pid, libc::SIGKILL).into()),
                error_of(libc::kill(-1, 0).into()),
                error_of(libc::ptrace(libc::PTRACE_ATTACH, other_pid, 0, 0)),
                error_of(libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), 0, 0)),
                error_of(libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)),
                error_of(libc::syscall(libc::SYS_pidfd_open, other_pid, 0)),
                error_of(libc::syscall(libc::SYS_io_uring_setup, 1, 0)),
                error_of(libc::unshare(libc::CLONE_NEWUSER).into()),
            ]
        };
        assert_eq!(refused, [Some(libc::EPERM); 9]);
        // SAFETY: takes numbers and null pointers.
        assert_eq!(error_of(unsafe { libc::syscall(libc::SYS_clone3, 0, 0) }), Some(libc::ENOSYS));
        // SAFETY: signal 0 only checks whether the process exists.
        assert_eq!(error_of(unsafe { libc::kill(libc::getpid(), 0) }.into()), None);
        // Threads are allowed.
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
    });
    assert!(other.try_wait().unwrap().is_none(), "the other process was ended");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_part_listens_on_its_port_and_connects_only_to_given_ports() {
    let own = tempfile::tempdir().unwrap();
    let (broker, other) = (TcpListener::bind(ANY).unwrap(), TcpListener::bind(ANY).unwrap());
    let (broker, other) = (broker.local_addr().unwrap(), other.local_addr().unwrap());
    let free = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let socket = own.path().join("socket");
    let _listening = UnixListener::bind(&socket).unwrap();

    confined(&needs(own.path()), || {
        TcpListener::bind(ANY).unwrap();
        assert_refused(TcpListener::bind(free));
        assert_refused(TcpStream::connect(broker));
        assert_refused(UdpSocket::bind(ANY));
        assert_refused(UnixStream::connect(&socket));
    });
    let given = Connect { ports: [broker.port()].into(), ..Connect::default() };
    confined(&Needs { connect: given.clone(), listen: free.port(), ..needs(own.path()) }, || {
        TcpListener::bind(free).unwrap();
        TcpStream::connect(broker).unwrap();
        assert_refused(TcpStream::connect(other));
        assert_refused(UdpSocket::bind(ANY));
    });
    confined(
        &Needs { connect: Connect { any_port: true, names: true, ..given }, ..needs(own.path()) },
        || {
            TcpStream::connect(other).unwrap();
            UdpSocket::bind(ANY).unwrap();
            assert_refused(UnixStream::connect(&socket));
        },
    );
}
