//! The files, ports and processes that a part can reach: a Landlock domain.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    make_bitflags, path_beneath_rules,
};

use super::Needs;

/// The version of Landlock that supports everything used here, and the Linux version that introduced it.
const TARGET: ABI = ABI::V6;
const LINUX: &str = "Linux 6.12";

/// What every part reads from the system: the number of processors, the limits of its control group, time zones. Random numbers come from
/// the system call getrandom: a statement could read `/dev/urandom` without end.
const SYSTEM: [&str; 4] = ["/sys/fs/cgroup", "/sys/devices/system", "/etc/localtime", "/usr/share/zoneinfo"];

/// What every part reads under /proc. Access to all of /proc would reveal the command lines of other processes. Access to all of /proc/self
/// would reveal this process's environment, which may contain passwords.
const PROC: [&str; 16] = [
    "/proc/self/auxv",
    "/proc/self/cgroup",
    "/proc/self/limits",
    "/proc/self/maps",
    "/proc/self/mountinfo",
    "/proc/self/mounts",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/status",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/uptime",
    "/proc/filesystems",
    "/proc/sys/vm",
];

const NULL: &str = "/dev/null";

/// The port of DNS over TCP, which the resolver uses for long answers.
const DNS_PORT: u16 = 53;

/// Restricts this thread and the threads that it will start. Returns what the kernel does not enforce.
pub(super) fn restrict(needs: &Needs) -> Option<String> {
    match domain(needs) {
        Ok(status) => missing(&status),
        Err(error) => Some(format!("files and ports are not restricted: {error}")),
    }
}

fn domain(needs: &Needs) -> Result<RestrictionStatus, RulesetError> {
    pin();
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});
    let mut ruleset = Ruleset::default()
        // Without it (before Linux 5.19), no file could be moved to another directory, which ClickHouse needs.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TARGET))?
        .handle_access(ports(needs))?
        .scope(Scope::from_all(TARGET))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(PROC, read))?
        .add_rules(path_beneath_rules(&needs.read, read))?
        .add_rules(path_beneath_rules(&needs.own, own()))?
        .add_rules(path_beneath_rules(&needs.write, write))?
        .add_rules(path_beneath_rules([NULL], write))?
        .add_rule(NetPort::new(needs.listen, AccessNet::BindTcp))?;
    if !needs.connect.any_port {
        let dns = needs.connect.names.then_some(DNS_PORT);
        for port in needs.connect.ports.iter().copied().chain(dns) {
            ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
    }
    ruleset.restrict_self()
}

/// Everything except devices, sockets and named pipes.
fn own() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | RemoveFile | RemoveDir | Refer
    })
}

fn ports(needs: &Needs) -> BitFlags<AccessNet> {
    let all = AccessNet::from_all(TARGET);
    if needs.connect.any_port { all & AccessNet::BindTcp } else { all }
}

/// Keeps the entries under /proc open while the process lives. The kernel creates a new inode for a name that nobody has open, and a rule
/// applies only to the inode that it was created with.
fn pin() {
    for path in PROC {
        if let Ok(opened) = PathFd::new(Path::new(path)) {
            std::mem::forget(opened);
        }
    }
}

fn missing(status: &RestrictionStatus) -> Option<String> {
    match (&status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => None,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => Some(format!(
            "the kernel has version {} of Landlock, but {} ({LINUX}) is needed; {} not restricted",
            effective_abi as i32,
            TARGET as i32,
            if effective_abi < ABI::V4 { "ports and signals are" } else { "signals are" }
        )),
        (_, LandlockStatus::NotEnabled) => {
            Some("Landlock is not enabled in the kernel; files and ports are not restricted".to_owned())
        }
        _ => Some(format!("the kernel has no Landlock ({LINUX}); files and ports are not restricted")),
    }
}
