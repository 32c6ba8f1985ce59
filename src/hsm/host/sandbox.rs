//! What the host gives up before it loads the vendor's library: files, programs, networks, other processes.
//!
//! Landlock takes away writing to all but the named paths and running any program; seccomp takes away the calls that
//! start programs, look into other processes, open sockets of a network, or go around these rules. It comes before the
//! library's first instruction, not after its first session: a library that needs more says so at once and not in the
//! middle of the night, and no thread that it started stands outside. Landlock restrains the calling thread and those
//! that it starts, so the host enters while it has just one.
//!
//! A library that reaches its HSM over a network needs `network`; one that writes a log needs its folder among `write`.
//! Reading is not restrained: the host runs under a user who can read little.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// The newest Landlock whose rules are asked for (Linux 6.12); an older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V6;
/// Written to by libraries that mean nothing by it.
const HARMLESS: &str = "/dev/null";

/// System calls that no library needs to talk to its device, and whoever broke into one does.
const REFUSED: [i64; 16] = [
    // Programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // A ring does what its filter would refuse.
    libc::SYS_io_uring_setup,
    // Other name spaces, mounts and kernels.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
];

/// Some kernels take calls of the x32 ABI from any 64-bit program: the same numbers with this bit, but for a few.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// execve, ptrace, kexec_load, process_vm_readv, process_vm_writev and execveat of that ABI.
#[cfg(target_arch = "x86_64")]
const X32_OWN: [i64; 6] = [520, 521, 528, 539, 540, 545];

/// What a host may still do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxOptions {
    /// Files that may be written, and folders below which all may be: the token's own, a library's log.
    pub write: Vec<PathBuf>,
    /// Whether the library may use networks, to reach its HSM.
    pub network: bool,
    /// Whether to go on where the kernel cannot enforce all of it.
    pub required: bool,
}

/// The process cannot be confined as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A path that may be written does not exist.
    #[error("{path}: {why}; create it, or do not name it among the paths that may be written")]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The kernel lacks some of it, and all is required.
    #[error("this kernel does not enforce {0}, and all of the sandbox is required")]
    Missing(String),
    /// The rules were not taken.
    #[error("the sandbox's {which} rules cannot be set: {why}")]
    Rules {
        /// Landlock's or seccomp's.
        which: &'static str,
        /// What went wrong.
        why: String,
    },
}

/// How a process is confined: shown in the log and by readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    network: bool,
    /// What the kernel does not enforce, although it was asked for.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sandboxed")?;
        if self.network {
            f.write_str(", network allowed")?;
        }
        match self.missing.is_empty() {
            true => Ok(()),
            false => write!(f, ", without {}", self.missing.join(" and ")),
        }
    }
}

/// Confines this thread and all that it starts, for good: call it while there is no other.
pub fn enter(options: &SandboxOptions) -> Result<Confinement, SandboxError> {
    let mut missing = Vec::new();
    match restrain(options)? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => missing.push("the newer rules of Landlock"),
        RulesetStatus::NotEnforced => missing.push("Landlock (writing to files)"),
    }
    if let Err(error) = filter(options.network)? {
        tracing::warn!(%error, "the kernel takes no system call filter");
        missing.push("seccomp (networks, programs)");
    }
    if options.required && !missing.is_empty() {
        return Err(SandboxError::Missing(missing.join(" and ")));
    }
    let confinement = Confinement {
        network: options.network,
        missing,
    };
    match confinement.missing.is_empty() {
        true => tracing::info!(%confinement, "the token host has confined itself"),
        false => tracing::warn!(%confinement, "the token host is not confined as it should be"),
    }
    Ok(confinement)
}

/// Landlock: files, TCP, signals and abstract sockets.
fn restrain(options: &SandboxOptions) -> Result<RulesetStatus, SandboxError> {
    let failed = |error: RulesetError| SandboxError::Rules {
        which: "Landlock",
        why: error.to_string(),
    };
    let write = AccessFs::from_write(LANDLOCK);
    let mut rules = Ruleset::default()
        .handle_access(write | AccessFs::Execute)
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .map_err(failed)?;
    if !options.network {
        rules = rules
            .handle_access(AccessNet::from_all(LANDLOCK))
            .map_err(failed)?;
    }
    let mut created = rules.create().map_err(failed)?;
    let harmless = [PathBuf::from(HARMLESS)];
    for path in options.write.iter().chain(&harmless) {
        let below = beneath(path, write)?;
        created = created.add_rule(below).map_err(failed)?;
    }
    Ok(created.restrict_self().map_err(failed)?.ruleset)
}

fn beneath(
    path: &Path,
    write: landlock::BitFlags<AccessFs>,
) -> Result<PathBeneath<PathFd>, SandboxError> {
    let unusable = |why: String| SandboxError::Path {
        path: path.to_owned(),
        why,
    };
    let folder = path
        .metadata()
        .map_err(|error| unusable(error.to_string()))?
        .is_dir();
    let open = PathFd::new(path).map_err(|error| unusable(error.to_string()))?;
    let access = match folder {
        true => write,
        false => write & AccessFs::from_file(LANDLOCK),
    };
    Ok(PathBeneath::new(open, access))
}

/// Seccomp: what is listed answers "not permitted", all else goes on. The inner error is the kernel's own refusal.
fn filter(network: bool) -> Result<Result<(), seccompiler::Error>, SandboxError> {
    let failed = |why: String| SandboxError::Rules {
        which: "seccomp",
        why,
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    if !network {
        let local = libc::AF_UNIX as u64;
        let foreign = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, local)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| failed(error.to_string()))?;
        rules.insert(libc::SYS_socket, vec![foreign]);
    }
    #[cfg(target_arch = "x86_64")]
    {
        let own = X32_OWN.map(|call| (call, Vec::new()));
        let same: Vec<_> = rules.clone().into_iter().chain(own).collect();
        rules.extend(same.into_iter().map(|(call, rule)| (call | X32, rule)));
    }
    let architecture = std::env::consts::ARCH
        .try_into()
        .map_err(|error: seccompiler::BackendError| failed(error.to_string()))?;
    let refusal = SeccompAction::Errno(libc::EPERM as u32);
    let program: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture)
            .and_then(|filter| filter.try_into())
            .map_err(|error| failed(error.to_string()))?;
    Ok(seccompiler::apply_filter_all_threads(&program))
}

#[cfg(test)]
mod tests;
