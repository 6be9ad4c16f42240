//! The system calls that a part may use: a seccomp filter.
//!
//! It lists refused calls instead of allowed ones, because nobody knows all calls of the engine, a library of half a gigabyte. A refused
//! call fails with EPERM, as if the user lacked the permission.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use thiserror::Error;

use super::Connect;

/// Requests of ioctl() that insert characters into a terminal's input.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// The old type of packet sockets, which the kernel still accepts for AF_INET.
const SOCK_PACKET: i32 = 10;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Conditions = Vec<SeccompCondition>;

#[derive(Debug, Error)]
enum FilterError {
    #[error("{0}")]
    Backend(#[from] BackendError),
    #[error("{0}")]
    Install(#[from] seccompiler::Error),
}

/// Calls that no part needs: starting programs and processes, reading the memory of other processes, changing the machine's setup, and
/// bypassing this filter. Also changing modes, owners and attributes of files by path, which Landlock does not cover.
const REFUSED: [c_long; 53] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
];

/// Calls that exist only on this processor architecture.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: [c_long; 11] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_fchmodat2,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: [c_long; 1] = [452]; // fchmodat2

/// Restricts this thread and the threads that it will start. Returns what the kernel does not enforce.
pub(super) fn restrict(connect: &Connect) -> Option<String> {
    install(connect).err().map(|error| format!("system calls are not restricted: {error}"))
}

fn install(connect: &Connect) -> Result<(), FilterError> {
    // ENOSYS makes the C library create threads with clone(), whose flags a filter can read.
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, error) in [(clone3, libc::ENOSYS), (refused(connect)?, libc::EPERM)] {
        seccompiler::apply_filter(&program(rules, error)?)?;
    }
    Ok(())
}

fn program(rules: Rules, error: i32) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(both_tables(rules), SeccompAction::Allow, refuse, architecture)?.try_into()
}

/// Adds the call numbers of x86-64's second table (x32), which some kernels have.
#[cfg(target_arch = "x86_64")]
fn both_tables(mut rules: Rules) -> Rules {
    const X32: i64 = 0x4000_0000;
    // Calls that have other numbers there: execve, ptrace, process_vm_readv, process_vm_writev, execveat, and the signals.
    const OTHERS: [i64; 7] = [520, 521, 524, 536, 539, 540, 545];
    let same: Vec<_> = rules.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
    rules.extend(same);
    rules.extend(OTHERS.map(|call| (call | X32, Vec::new())));
    rules
}

#[cfg(not(target_arch = "x86_64"))]
fn both_tables(rules: Rules) -> Rules {
    rules
}

fn refused(connect: &Connect) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    rules.extend(REFUSED.iter().chain(&REFUSED_HERE).map(|call| (*call, Vec::new())));
    if connect.is_nowhere() {
        rules.insert(libc::SYS_connect, Vec::new());
    }
    let conditional = [
        (libc::SYS_clone, vec![vec![has_not(0, libc::CLONE_THREAD)?]]),
        (libc::SYS_socket, sockets(connect)?),
        // A send with MSG_FASTOPEN opens a connection. Landlock checks only connect().
        (libc::SYS_sendto, vec![vec![has(3, libc::MSG_FASTOPEN)?]]),
        (libc::SYS_sendmsg, vec![vec![has(2, libc::MSG_FASTOPEN)?]]),
        (libc::SYS_sendmmsg, vec![vec![has(3, libc::MSG_FASTOPEN)?]]),
        // Characters inserted into the terminal from which the part was started.
        (libc::SYS_ioctl, vec![vec![is(1, TIOCSTI)?], vec![is(1, TIOCLINUX)?]]),
        (libc::SYS_kill, vec![vec![is_other_process()?]]),
        (libc::SYS_tgkill, vec![vec![is_other_process()?]]),
        (libc::SYS_rt_sigqueueinfo, vec![vec![is_other_process()?]]),
        (libc::SYS_rt_tgsigqueueinfo, vec![vec![is_other_process()?]]),
        (libc::SYS_prlimit64, vec![vec![is_other_process()?, is_not(0, 0)?]]),
    ];
    for (call, alternatives) in conditional {
        let alternatives: Result<_, _> = alternatives.into_iter().map(SeccompRule::new).collect();
        rules.insert(call, alternatives?);
    }
    Ok(rules)
}

/// Returns the refused sockets: all except TCP, and UDP if names are resolved.
fn sockets(connect: &Connect) -> Result<Vec<Conditions>, BackendError> {
    let families = [libc::AF_INET, libc::AF_INET6].map(i32::unsigned_abs);
    let mut others: Conditions = Vec::new();
    for family in families {
        others.push(is_not(0, family.into())?);
    }
    if connect.names {
        // The resolver reads the machine's addresses, because it sorts its results by them.
        others.push(is_not(0, libc::AF_NETLINK.unsigned_abs().into())?);
    }
    let mut refused = vec![others];
    let udp = (!connect.names).then_some(libc::SOCK_DGRAM);
    for kind in [libc::SOCK_SEQPACKET, libc::SOCK_DCCP, SOCK_PACKET].into_iter().chain(udp) {
        refused.push(vec![is_kind(kind)?]);
    }
    for family in families {
        refused.push(vec![is(0, family.into())?, is_kind(libc::SOCK_RAW)?]);
    }
    Ok(refused)
}

fn is_kind(kind: i32) -> Result<SeccompCondition, BackendError> {
    // The lowest four bits are the type; the others are SOCK_CLOEXEC and SOCK_NONBLOCK.
    condition(1, SeccompCmpOp::MaskedEq(0xf), kind.unsigned_abs().into())
}

fn is_other_process() -> Result<SeccompCondition, BackendError> {
    is_not(0, std::process::id().into())
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn has(argument: u8, flag: i32) -> Result<SeccompCondition, BackendError> {
    let flag = u64::from(flag.unsigned_abs());
    condition(argument, SeccompCmpOp::MaskedEq(flag), flag)
}

fn has_not(argument: u8, flag: i32) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(flag.unsigned_abs().into()), 0)
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}
