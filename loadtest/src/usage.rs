//! What a process has used, as the kernel counts it: CPU time and resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A reading of a process.
///
/// CPU time is taken from each thread's run time in nanoseconds (`/proc/PID/task/*/schedstat`): the ticks of
/// `/proc/PID/stat` are 10 ms, longer than a whole round of a small group. Only how it divides between user and kernel
/// comes from the ticks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    threads: BTreeMap<u32, u64>,
    user_ticks: u64,
    kernel_ticks: u64,
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
}

/// What a process used between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// CPU time of all threads.
    pub(crate) cpu: Duration,
    /// The part of it that was spent in the kernel, as far as ticks can tell; none if no tick passed.
    pub(crate) kernel_share: Option<f64>,
}

impl Usage {
    /// Reads a process of this machine.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(process.join("task"))? {
            let entry = entry?;
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            if let (Ok(thread), Some(run)) = (
                entry.file_name().to_string_lossy().parse(),
                number(&text, 0),
            ) {
                threads.insert(thread, run);
            }
        }
        if threads.is_empty() {
            return Err(io::Error::other(
                "no thread has a schedstat file; the kernel needs CONFIG_SCHED_INFO",
            ));
        }
        let stat = fs::read_to_string(process.join("stat"))?;
        // The command's name is in parentheses and may hold anything; the fields after it are numbers.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let status = fs::read_to_string(process.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(Usage {
            threads,
            user_ticks: number(fields, 11).unwrap_or(0),
            kernel_ticks: number(fields, 12).unwrap_or(0),
            resident: resident.and_then(|text| number(text, 0)).unwrap_or(0) * 1024,
        })
    }

    /// Reads a process and those that it started itself, such as a gateway's token host.
    pub(crate) fn of_family(pid: u32) -> io::Result<Self> {
        let mut family = Usage::of(pid)?;
        for child in children(pid)? {
            let child = Usage::of(child)?;
            family.threads.extend(child.threads);
            family.user_ticks += child.user_ticks;
            family.kernel_ticks += child.kernel_ticks;
            family.resident += child.resident;
        }
        Ok(family)
    }

    /// What was used since an earlier reading. What a thread did that ended in between is not counted.
    pub(crate) fn since(&self, earlier: &Usage) -> Spent {
        let ran = self.threads.iter().map(|(thread, now)| {
            let before = earlier.threads.get(thread).copied().unwrap_or(0);
            now.saturating_sub(before)
        });
        let user = self.user_ticks.saturating_sub(earlier.user_ticks);
        let kernel = self.kernel_ticks.saturating_sub(earlier.kernel_ticks);
        let ticks = user + kernel;
        Spent {
            cpu: Duration::from_nanos(ran.sum()),
            kernel_share: (ticks > 0).then(|| kernel as f64 / ticks as f64),
        }
    }
}

/// How many files a process and those that it started itself have open.
pub(crate) fn open_files(pid: u32) -> io::Result<u64> {
    let mut count = 0;
    for pid in [pid].into_iter().chain(children(pid)?) {
        count += fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))?.count() as u64;
    }
    Ok(count)
}

fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"))? {
        // Kernels without CONFIG_PROC_CHILDREN have no such file, and a thread may have ended.
        let children = fs::read_to_string(entry?.path().join("children")).unwrap_or_default();
        let children = children.split_ascii_whitespace();
        found.extend(children.filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(found)
}

fn number(text: &str, field: usize) -> Option<u64> {
    text.split_ascii_whitespace().nth(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn work_and_memory_are_seen() {
        let own = std::process::id();
        let before = Usage::of(own).expect("this process can be read");
        let began = Instant::now();
        let mut held = Vec::new();
        while began.elapsed() < Duration::from_millis(50) {
            held.push(vec![1_u8; 64 * 1024]);
        }
        let after = Usage::of(own).expect("this process can be read");
        let cpu = after.since(&before).cpu;
        assert!(cpu >= Duration::from_millis(1), "{cpu:?}");
        assert!(after.resident > 0 && held.len() > 1);
        assert_eq!(after.since(&after).cpu, Duration::ZERO);
    }

    #[test]
    fn an_open_file_is_counted() {
        let own = std::process::id();
        let files: Vec<_> = (0..50)
            .map(|_| fs::File::open("/proc/self/stat").expect("it can be read"))
            .collect();
        assert!(open_files(own).expect("this process can be read") >= files.len() as u64);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Usage::of(u32::MAX).is_err());
    }
}
