//! How many files this process may have open: each connection of a run is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Failure;

/// What a run has open besides its connections: libraries, logs, pipes, the runtime's own.
const BESIDES: u64 = 64;

/// Raises the soft limit to the hard one, which needs no privilege. The servers that are started later inherit it.
pub(crate) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where that is not allowed the old limit holds, and `require` says what does not fit in it.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Refuses a run that would run out of open files half-way.
pub(crate) fn require(connections: usize) -> Result<(), Failure> {
    let needed = connections as u64 + BESIDES;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(format!(
            "this run has {needed} files open in one process, and the limit is {limit}: raise it (ulimit -Hn), or run fewer members or systems"
        )
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_and_too_much_is_refused() {
        raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(require(1).is_ok());
        if limit.current.is_some() {
            assert!(require(usize::MAX >> 8).is_err());
        }
    }
}
