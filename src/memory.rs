//! Makes glibc's allocator return freed memory to the system.
//!
//! Records are allocated by one thread and freed by another, some ten million of them in a large file; blocks of rows have megabytes. By
//! default each thread gets its own arena. Also, after one large block was freed, blocks of that size come from arenas, where a small
//! block after them keeps them from being returned. With two arenas, and large blocks always mapped separately, the server's peak memory
//! on two files of 424 MB fell from 165 MB to 89 MB at the same speed.

/// Allocations of at least this many bytes are mapped separately, and returned when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 512 << 10;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Sets the allocator up; call it before the first thread starts. Does nothing with other allocators than glibc's.
pub fn set_up() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes plain numbers and rejects those that it does not know.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
}
