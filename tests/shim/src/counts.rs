//! Calls by function: a file for each that grows by a byte, so that any process may count while others call.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{LazyLock, OnceLock};

use crate::functions::NAMES;
use crate::shim::COUNTS;

/// Notes one call. The kernel appends whole writes one after the other, whichever threads and processes they come from.
pub(crate) fn called(function: usize) {
    static DIRECTORY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(COUNTS).map(Into::into));
    static FILES: [OnceLock<File>; NAMES.len()] = [const { OnceLock::new() }; NAMES.len()];
    let Some(directory) = &*DIRECTORY else { return };
    let mut file = FILES[function].get_or_init(|| {
        let path = directory.join(NAMES[function]);
        let opened = File::options().create(true).append(true).open(&path);
        opened.unwrap_or_else(|error| unwritable(&error))
    });
    if let Err(error) = file.write_all(b".") {
        unwritable(&error);
    }
}

/// A count that is too low would let a test pass.
fn unwritable(error: &std::io::Error) -> ! {
    eprintln!("wardcast shim: cannot count a call in {COUNTS}: {error}");
    std::process::abort()
}
