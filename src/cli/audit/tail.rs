//! The last records, and those that come.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::line::line;
use crate::audit::{Lines, Record, Segment, segments};

/// How often it is looked whether something came.
const LOOK: Duration = Duration::from_millis(200);

/// Shows the last records; then, if asked to, what comes.
pub(super) fn run(directory: &Path, count: usize, follow: bool, json: bool) -> io::Result<()> {
    let all = segments(directory)?;
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    // As few segments as have so many records.
    for segment in all.iter().rev() {
        let mut lines = segment.lines()?;
        let mut own = VecDeque::new();
        while let Some(line) = lines.next_line()? {
            own.push_back(line.to_vec());
            if own.len() > count - last.len() {
                own.pop_front();
            }
        }
        own.append(&mut last);
        last = own;
        if last.len() >= count {
            break;
        }
    }
    let mut output = io::stdout();
    for line in &last {
        if show(&mut output, line, json).is_err() {
            return Ok(()); // a reader that went away has seen what it wanted
        }
    }
    match follow {
        true => go_on(directory, all, json),
        false => Ok(()),
    }
}

fn go_on(directory: &Path, known: Vec<Segment>, json: bool) -> io::Result<()> {
    let mut output = io::stdout();
    let mut newest = known.last().cloned();
    let mut current = newest.as_ref().map(at_end).transpose()?;
    loop {
        // A segment has ended once another one is there: so that is looked for first.
        let now = segments(directory)?;
        let next = now
            .into_iter()
            .find(|segment| Some(segment) > newest.as_ref());
        if let Some(lines) = &mut current {
            while let Some(line) = lines.next_line()? {
                if show(&mut output, line, json).is_err() {
                    return Ok(());
                }
            }
        }
        match next {
            Some(next) => {
                current = Some(next.lines()?);
                newest = Some(next);
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

fn at_end(segment: &Segment) -> io::Result<Lines> {
    let mut lines = segment.lines()?;
    while lines.next_line()?.is_some() {}
    Ok(lines)
}

fn show(output: &mut impl Write, bytes: &[u8], json: bool) -> io::Result<()> {
    match serde_json::from_slice::<Record>(bytes) {
        Ok(record) if !json => writeln!(output, "{}", line(&record)),
        // What is no record is shown as it is: `verify` says what is wrong with it.
        _ => writeln!(output, "{}", String::from_utf8_lossy(bytes)),
    }
}
