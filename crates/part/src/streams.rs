//! The descriptors of a part's process, out of reach of what the part is asked to do.
//!
//! A statement can name a descriptor of the process that runs it: `file('/dev/stdin')`, `file('/proc/self/fd/7')`. The kernel then
//! opens the same file again. Landlock decides about files, terminals and devices; sockets cannot be opened so. That leaves
//! pipes, which Landlock does not cover: a statement that opens one waits for its writer or takes its bytes. So a part
//!
//! - has `/dev/null` as its standard input and output, and its supervisor on two other descriptors,
//! - takes from its pipes the permission to open them once more ([`close_pipes`]). Root would not need the permission, so it gives up
//!   that privilege (`sandbox::privileges`).

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, OnceLock};

use crate::lock::lock;

/// The search for pipes ends after this many free numbers in a row: the kernel always gives the lowest free one.
const FREE_AT_END: u32 = 256;

/// The permissions of a pipe that can be opened for writing only.
const WRITE_ONLY: libc::mode_t = 0o200;

/// The permission to read a pipe, which every new one has.
const READABLE: libc::mode_t = 0o400;

/// The pipes between a part and its supervisor.
#[derive(Debug)]
struct Link {
    input: File,
    output: File,
}

static LINK: OnceLock<Link> = OnceLock::new();

/// Held while a pipe is created and while pipes are searched. A search must not find a pipe that does not have its permissions yet:
/// it would make the pipe unusable.
static PIPES: Mutex<()> = Mutex::new(());

/// Puts `/dev/null` in the place of standard input and output, and closes what the process has inherited. To be called before the
/// process has opened anything.
///
/// # Errors
/// A descriptor cannot be moved.
pub fn take() -> io::Result<()> {
    close_inherited();
    let moved = |stream: io::Result<OwnedFd>| stream.map(File::from);
    let input = moved(io::stdin().as_fd().try_clone_to_owned())?;
    let output = moved(io::stdout().as_fd().try_clone_to_owned())?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in [io::stdin().as_raw_fd(), io::stdout().as_raw_fd()] {
        // SAFETY: both descriptors are open; no code relies on the file that the standard one had.
        if unsafe { libc::dup2(null.as_raw_fd(), standard) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // Called once. A second call would keep the first link.
    let _ = LINK.set(Link { input, output });
    close_pipes();
    Ok(())
}

/// Reads what the supervisor sends: nothing, until it ends.
pub fn read(buffer: &mut [u8]) -> io::Result<usize> {
    match LINK.get() {
        Some(link) => (&link.input).read(buffer),
        None => io::stdin().lock().read(buffer),
    }
}

/// Sends a line to the supervisor.
pub fn write_line(line: &str) -> io::Result<()> {
    let line = format!("{line}\n");
    match LINK.get() {
        Some(link) => (&link.output).write_all(line.as_bytes()),
        None => io::stdout().write_all(line.as_bytes()),
    }
}

/// Takes from the pipes that are open now the permission to open them once more. Those who have them open keep them. Pipes of
/// [`pipe_for_writing_only`] stay as they are. A library may create pipes at any time, so this is called again and again.
pub fn close_pipes() {
    let _no_new_pipe = lock(&PIPES);
    let mut free = 0;
    for descriptor in 0.. {
        match mode(descriptor) {
            Some(mode) => {
                free = 0;
                if mode & libc::S_IFMT == libc::S_IFIFO && mode & READABLE != 0 {
                    set_mode(descriptor, 0);
                }
            }
            None => free += 1,
        }
        if free == FREE_AT_END {
            return;
        }
    }
}

/// Creates a pipe that can be opened again for writing only.
///
/// # Errors
/// The process has too many open files.
pub fn pipe_for_writing_only() -> io::Result<(PipeReader, PipeWriter)> {
    let _no_search = lock(&PIPES);
    let (reader, writer) = io::pipe()?;
    set_mode(writer.as_raw_fd(), WRITE_ONLY);
    Ok((reader, writer))
}

fn set_mode(descriptor: RawFd, mode: libc::mode_t) {
    // SAFETY: takes numbers. A pipe of another user stays as it is: that user's modes decide.
    unsafe { libc::fchmod(descriptor, mode) };
}

/// The kind and the permissions of what a descriptor belongs to; `None` if it is not open.
fn mode(descriptor: RawFd) -> Option<libc::mode_t> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is written to if the call succeeds, and only then read.
    unsafe { (libc::fstat(descriptor, status.as_mut_ptr()) == 0).then(|| status.assume_init().st_mode) }
}

/// Closes every descriptor but the standard ones: the process that started this one may have left some open.
#[cfg(target_os = "linux")]
fn close_inherited() {
    // SAFETY: nothing was opened yet that somebody could still use. Kernels before 5.9 refuse, and all stays open.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

#[cfg(not(target_os = "linux"))]
fn close_inherited() {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_pipe_keeps_its_permissions_while_others_are_searched() {
        let searching = AtomicUsize::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..3_000).for_each(|_| close_pipes());
                    searching.fetch_sub(1, Ordering::Relaxed);
                });
            }
            let mut wrong = None;
            while searching.load(Ordering::Relaxed) > 0 {
                let pipes: Vec<_> = (0..20).map(|_| pipe_for_writing_only().unwrap()).collect();
                let modes = pipes.iter().map(|(_, writer)| mode(writer.as_raw_fd()).unwrap() & 0o777);
                wrong = wrong.or_else(|| modes.into_iter().find(|mode| *mode != WRITE_ONLY));
            }
            assert_eq!(wrong, None);
        });
    }
}
