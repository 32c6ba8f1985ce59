//! Looks for secrets in the memory of a running process: all that it can read, by /proc/PID/mem.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use aho_corasick::AhoCorasick;

/// Read at a time.
const CHUNK: usize = 4 * 1024 * 1024;

/// What a scan found, and how much it looked at.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Every needle that was seen, with where.
    pub(crate) found: Vec<Found>,
    /// Bytes that were looked at.
    pub(crate) bytes: u64,
    /// Mappings that could be looked at, in whole.
    pub(crate) mappings: usize,
    /// Mappings that could not: gone meanwhile, or a device's.
    pub(crate) unreadable: Vec<String>,
}

/// A needle in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its place among the needles.
    pub(crate) needle: usize,
    /// Where it begins.
    pub(crate) address: u64,
    /// The mapping: its permissions, and its file if it has one.
    pub(crate) mapping: String,
}

/// A stretch of memory.
struct Mapping {
    start: u64,
    end: u64,
    name: String,
}

/// Looks for all needles in all of a process's readable memory. The process goes on meanwhile: what it moves around
/// may be missed, so a scan that is to prove an absence is repeated.
pub(crate) fn scan(pid: u32, needles: &[Vec<u8>]) -> io::Result<Scan> {
    let longest = needles.iter().map(Vec::len).max().unwrap_or_default();
    let search = AhoCorasick::new(needles).map_err(io::Error::other)?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    let memory = File::open(process.join("mem"))?;
    let maps = fs::read_to_string(process.join("maps"))?;
    let mut scan = Scan::default();
    let mut buffer = vec![0; CHUNK];
    for mapping in maps.lines().filter_map(readable) {
        match one(&memory, &mapping, &search, longest, &mut buffer, &mut scan) {
            Ok(()) => scan.mappings += 1,
            Err(_) => scan.unreadable.push(mapping.name),
        }
    }
    Ok(scan)
}

/// `start-end permissions offset device inode path`, if it may be read.
fn readable(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let path = words.nth(3).unwrap_or("anonymous");
    permissions.starts_with('r').then_some(())?;
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        name: format!("{permissions} {path}"),
    })
}

fn one(
    memory: &File,
    mapping: &Mapping,
    search: &AhoCorasick,
    longest: usize,
    buffer: &mut [u8],
    scan: &mut Scan,
) -> io::Result<()> {
    // Chunks overlap by what a needle could stand across.
    let overlap = longest.saturating_sub(1);
    let mut kept = 0;
    let mut at = mapping.start;
    while at < mapping.end {
        let room = (buffer.len() - kept) as u64;
        let fresh = room.min(mapping.end - at) as usize;
        let read = memory.read_at(&mut buffer[kept..kept + fresh], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let whole = &buffer[..kept + read];
        let base = at - kept as u64;
        // What ends within the overlap was seen before.
        let new = search
            .find_overlapping_iter(whole)
            .filter(|found| found.end() > kept);
        scan.found.extend(new.map(|found| Found {
            needle: found.pattern().as_usize(),
            address: base + found.start() as u64,
            mapping: mapping.name.clone(),
        }));
        scan.bytes += read as u64;
        at += read as u64;
        let length = kept + read;
        kept = overlap.min(length);
        buffer.copy_within(length - kept..length, 0);
    }
    Ok(())
}
