//! The privilege of root to open what its permissions close: given up, since nothing else keeps a statement from opening the pipes
//! of its own process (`embedded::streams`).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Needs;

const VERSION_3: u32 = 0x2008_0522;

/// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
const OPEN_ANYTHING: u32 = 1 << 1 | 1 << 2;

#[repr(C)]
struct Header {
    version: u32,
    process: i32,
}

/// The capabilities of a thread, 32 in each half.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Restricts this thread and those that it will start; returns what stays possible.
pub(super) fn restrict(needs: &Needs) -> Option<String> {
    match give_up(needs) {
        Ok(None) => None,
        Ok(Some(path)) => {
            Some(format!("{path} belongs to another user than root: statements can open pipes of the part"))
        }
        Err(error) => Some(format!("capabilities are not restricted: {error}")),
    }
}

/// Gives the privilege up unless a file that is needed could not be opened without it, which is returned then.
fn give_up(needs: &Needs) -> io::Result<Option<String>> {
    let before = capabilities()?;
    let [first, second] = before;
    if first.permitted & OPEN_ANYTHING == 0 {
        return Ok(None);
    }
    let asleep = Half { effective: first.effective & !OPEN_ANYTHING, ..first };
    set_capabilities([asleep, second])?;
    if let Some(path) = out_of_reach(needs) {
        set_capabilities(before)?;
        return Ok(Some(path));
    }
    let inheritable = first.inheritable & !OPEN_ANYTHING;
    set_capabilities([Half { permitted: first.permitted & !OPEN_ANYTHING, inheritable, ..asleep }, second])?;
    Ok(None)
}

fn out_of_reach(needs: &Needs) -> Option<String> {
    // SAFETY: takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    let is_ours = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.uid() == user);
    let is_closed =
        |path: &Path| File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let own = needs.own.iter().chain(&needs.write).find(|path| !is_ours(path) || is_closed(path));
    let path = own.or_else(|| needs.read.iter().find(|path| is_closed(path)));
    path.map(|path| path.display().to_string())
}

fn capabilities() -> io::Result<[Half; 2]> {
    let mut header = Header { version: VERSION_3, process: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 writes two halves, and `header` is valid for reads and writes.
    let outcome = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
    if outcome == 0 { Ok(halves) } else { Err(io::Error::last_os_error()) }
}

fn set_capabilities(halves: [Half; 2]) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, process: 0 };
    // SAFETY: version 3 reads two halves, and `header` is valid for reads and writes.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
