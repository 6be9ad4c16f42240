//! Decides how many files and connections the broker may have open, within the limit of the process.

use super::MAX_CONNECTIONS;

/// Maximum open files of the log, if the process may have that many.
const MAX_OPEN_FILES: usize = 1_000;

/// Descriptors for everything else (the catalogue, directories that are synced, the runtime), but at most a quarter of all.
const RESERVED: usize = 128;

/// Assumed if the system does not report a limit.
const USUAL_LIMIT: usize = 256;

/// How the descriptors of the process are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    pub connections: usize,
    pub open_files: usize,
}

impl Descriptors {
    /// Raises the limit of the process as far as allowed, and divides the descriptors.
    pub fn claim() -> Self {
        Self::of(raise_limit().unwrap_or(USUAL_LIMIT))
    }

    fn of(limit: usize) -> Self {
        let left = limit - RESERVED.min(limit / 4);
        let connections = MAX_CONNECTIONS.min(left / 2).max(1);
        let open_files = MAX_OPEN_FILES.min(left - connections.min(left)).max(1);
        Self { connections, open_files }
    }
}

/// Sets the soft limit to the hard limit, and returns the limit in force.
fn raise_limit() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to the structure that it is given and keeps no pointer to it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the call reads the structure that it is given and keeps no pointer to it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        limit = raised;
    }
    usize::try_from(limit.rlim_cur).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_divided_within_the_limit() {
        let of = |limit| {
            let Descriptors { connections, open_files } = Descriptors::of(limit);
            (connections, open_files)
        };
        assert_eq!(of(256), (96, 96));
        assert_eq!(of(1_024), (448, 448));
        assert_eq!(of(4_096), (512, 1_000));
        assert_eq!(of(usize::MAX), (512, 1_000));
        assert_eq!(of(0), (1, 1));
    }
}
