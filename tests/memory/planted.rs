//! The scanner finds what is there: a key in a child's memory, and none that is not.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use wardcast::crypto::random;

use crate::scan::{Scan, scan};

/// Set in the child.
const CHILD: &str = "WARDCAST_TEST_PLANTED";
/// Far into a buffer that is larger than the scanner reads at a time, and across the place where one piece ends.
const ROOM: usize = 9 * 1024 * 1024;

/// Takes a key from standard input and keeps it, until told to erase it, and until its input ends.
#[test]
fn the_child_keeps_a_key() {
    if std::env::var_os(CHILD).is_none() {
        // Run by itself it has nothing to keep: the other tests here start it again with a key.
        return;
    }
    let mut input = std::io::stdin().lock();
    let mut room = vec![0u8; ROOM];
    for start in [ROOM / 3, 4 * 1024 * 1024 - 16] {
        // Inverted on the way, so that only these places hold the key and no buffer of the input does.
        let mut key = [0u8; 32];
        input.read_exact(&mut key).expect("a key");
        for (byte, inverted) in room[start..].iter_mut().zip(key) {
            *byte = !inverted;
        }
    }
    println!("\nkept");
    input.read_exact(&mut [0]).expect("a word");
    room.fill(0);
    println!("erased {}", std::hint::black_box(&room).len());
    let _ = input.read(&mut [0]);
}

struct Keeper {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Keeper {
    fn start(keys: &[[u8; 32]; 2]) -> Self {
        let this = std::env::current_exe().expect("a test has an executable");
        let mut child = Command::new(this)
            .args(["planted::the_child_keeps_a_key", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        for key in keys {
            input.write_all(&key.map(|byte| !byte)).expect("written");
        }
        let mut keeper = Keeper {
            child,
            input,
            output,
        };
        keeper.says("kept");
        keeper
    }

    fn says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.starts_with(word) {
            line.clear();
            let read = self.output.read_line(&mut line).expect("its output");
            assert_ne!(read, 0, "it ended before it said {word}");
        }
    }

    fn scan(&self, needles: &[Vec<u8>]) -> Scan {
        let scan = scan(self.child.id(), needles).expect("its memory");
        assert!(scan.bytes > ROOM as u64, "{scan:?}");
        assert!(scan.mappings > 10, "{scan:?}");
        // What the kernel itself maps there is no memory of the process's.
        let strange = |name: &&String| !name.contains("[vvar");
        assert_eq!(scan.unreadable.iter().find(strange), None);
        scan
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_key_is_found_where_it_is_and_nowhere_once_it_is_erased() {
    let keys: [[u8; 32]; 2] = [random(), random()];
    let absent: [u8; 32] = random();
    let half = |key: &[u8; 32]| key[16..].to_vec();
    let needles = [
        absent.to_vec(),
        keys[0].to_vec(),
        keys[1].to_vec(),
        half(&keys[1]),
    ];
    let mut keeper = Keeper::start(&keys);
    let found = keeper.scan(&needles).found;
    let seen = |needle| found.iter().filter(|found| found.needle == needle).count();
    assert_eq!([0, 1, 2, 3].map(seen), [0, 1, 1, 1], "{found:?}");
    let at = |needle| {
        found
            .iter()
            .find(|found| found.needle == needle)
            .expect("seen")
            .address
    };
    assert_eq!(at(3), at(2) + 16, "part of a key is found as well");

    keeper.input.write_all(b"e").expect("written");
    keeper.says("erased");
    assert_eq!(keeper.scan(&needles).found, []);
}

#[test]
fn thousands_of_keys_are_looked_for_at_once() {
    let keys: [[u8; 32]; 2] = [random(), random()];
    let mut needles: Vec<Vec<u8>> = (0..5_000).map(|_| random::<32>().to_vec()).collect();
    needles[4_321] = keys[1].to_vec();
    let keeper = Keeper::start(&keys);
    let found = keeper.scan(&needles).found;
    let seen: Vec<usize> = found.iter().map(|found| found.needle).collect();
    assert_eq!(seen, [4_321], "{found:?}");
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    assert!(scan(u32::MAX, &[vec![1; 32]]).is_err());
}
