//! The shim as a test sees it: commands to write, calls to count.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{Peer, control, functions};

pub(crate) const MODULE: &str = "WARDCAST_SHIM_MODULE";
pub(crate) const CONTROL: &str = "WARDCAST_SHIM_CONTROL";
pub(crate) const COUNTS: &str = "WARDCAST_SHIM_COUNTS";

/// Commands a shim, in whichever process it is loaded.
pub struct Shim {
    directory: PathBuf,
    /// Every version of the commands that was written. An inode whose file is open is not given to another file, so the
    /// shim sees by the inode alone that a version is new.
    versions: Mutex<Vec<File>>,
}

impl Shim {
    /// The shim that keeps its commands and counts in this directory, which is made if it is missing.
    pub fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("calls")).expect("makes a directory");
        Shim {
            directory: directory.to_owned(),
            versions: Mutex::default(),
        }
    }

    /// The module to load. It lies beside the test, or the benchmark, that asks for it.
    pub fn module() -> PathBuf {
        let this = std::env::current_exe().expect("a test has an executable");
        let beside = this.ancestors().skip(1).take(2);
        let found = beside
            .map(|folder| folder.join("libwardcast_shim.so"))
            .find(|path| path.exists());
        found.unwrap_or_else(|| {
            panic!(
                "libwardcast_shim.so is not beside {}: cargo builds it",
                this.display()
            )
        })
    }

    /// This shim in front of that token.
    pub fn before(&self, peer: Peer) -> Peer {
        let own = [
            (MODULE, peer.module),
            (CONTROL, self.control()),
            (COUNTS, self.directory.join("calls")),
        ];
        let own = own.map(|(name, path)| (name, path.into_os_string()));
        Peer {
            module: Self::module(),
            environment: peer.environment.into_iter().chain(own).collect(),
            ..peer
        }
    }

    fn control(&self) -> PathBuf {
        self.directory.join("commands")
    }

    /// Commands from now on, in place of all earlier ones. Each is a line: a function of PKCS#11, or `*` for all, and one
    /// of
    ///
    /// - `delay_us=1000`: wait so long, without any lock, then call on;
    /// - `rv=0x30`: answer that and do not call;
    /// - `hang`: wait until no command hangs this function any more, then call on;
    /// - `abort`: end the process as a crash does;
    ///
    /// and besides `after=10`, which spares the first ten calls, and `times=5`, which spares all after five that it was
    /// applied to. Lines are obeyed from the first to the last; an answer ends it. Each change of the commands starts
    /// those numbers afresh.
    pub fn set(&self, commands: &[&str]) {
        let text: String = commands.iter().map(|line| format!("{line}\n")).collect();
        if let Err(error) = control::check(&text) {
            panic!("the shim would not understand it: {error}");
        }
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.directory.join("commands.new");
        fs::write(&fresh, text).expect("writes");
        versions.push(File::open(&fresh).expect("opens"));
        fs::rename(&fresh, self.control()).expect("renames");
    }

    /// Calls of this function so far, over all processes that loaded the shim.
    pub fn calls(&self, function: &str) -> u64 {
        let known = functions::number(function).is_some();
        assert!(known, "{function} is no function of PKCS#11");
        // A function that was never called has no file.
        let counted = fs::metadata(self.directory.join("calls").join(function));
        counted.map_or(0, |file| file.len())
    }
}
