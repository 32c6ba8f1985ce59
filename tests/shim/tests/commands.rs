//! Each command of the shim, seen through cryptoki on real tokens.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use wardcast_shim::{Peer, Shim, again, run_again};

/// Set in the child: the shim's directory.
const CHILD: &str = "WARDCAST_TEST_SHIM";
const PIN: &str = "123456";
const SIGABRT: i32 = 6;

/// The environment of a child that uses a fresh token through the shim.
fn environment(directory: &Path, peer: fn(&Path) -> Peer) -> Vec<(&'static str, OsString)> {
    let mut environment = Shim::new(directory).before(peer(directory)).environment;
    environment.push((CHILD, directory.into()));
    environment
}

fn child() -> Option<Shim> {
    let directory = std::env::var_os(CHILD).map(PathBuf::from);
    directory.map(|directory| Shim::new(&directory))
}

/// Runs the body in a child process, with a fresh token behind the shim.
fn in_child(test: &str, peer: fn(&Path) -> Peer, body: fn(&Shim, &Pkcs11)) {
    if let Some(shim) = child() {
        let library = Pkcs11::new(Shim::module()).expect("loads");
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        library.initialize(arguments).expect("initialises");
        return body(&shim, &library);
    }
    let directory = tempfile::tempdir().expect("a directory");
    again(test, &environment(directory.path(), peer));
}

fn session(library: &Pkcs11) -> Session {
    let slots = library.get_slots_with_initialized_token().expect("lists");
    library.open_ro_session(slots[0]).expect("opens")
}

/// The return value of `C_GenerateRandom`, if it is an error.
fn random(session: &Session) -> Option<RvError> {
    let mut bytes = [0; 8];
    match session.generate_random_slice(&mut bytes) {
        Ok(()) => None,
        Err(Error::Pkcs11(value, Function::GenerateRandom)) => Some(value),
        Err(other) => panic!("{other}"),
    }
}

fn log_in(session: &Session, pin: &str) -> Option<RvError> {
    match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
        Ok(()) => None,
        Err(Error::Pkcs11(value, Function::Login)) => Some(value),
        Err(other) => panic!("{other}"),
    }
}

/// Waits for something that another thread or process brings about.
fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never holds");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn calls_go_through_and_are_counted() {
    in_child(
        "calls_go_through_and_are_counted",
        Peer::softhsm,
        |shim, library| {
            let session = session(library);
            assert_eq!((shim.calls("C_OpenSession"), shim.calls("C_Login")), (1, 0));
            assert_eq!(log_in(&session, PIN), None);
            assert_eq!(log_in(&session, PIN), Some(RvError::UserAlreadyLoggedIn));
            assert_eq!(shim.calls("C_Login"), 2);
            assert!(!library.is_fn_supported(Function::EncapsulateKey));
        },
    );
}

#[test]
fn a_token_with_3_2_keeps_what_3_2_has() {
    in_child(
        "a_token_with_3_2_keeps_what_3_2_has",
        Peer::kryoptic,
        |shim, library| {
            assert!(library.is_fn_supported(Function::EncapsulateKey));
            let session = session(library);
            assert_eq!(log_in(&session, PIN), None);
            shim.set(&["C_GenerateRandom rv=0x30"]);
            assert_eq!(random(&session), Some(RvError::DeviceError));
            assert_eq!(shim.calls("C_GenerateRandom"), 1);
        },
    );
}

#[test]
fn an_answer_is_given_as_often_as_told() {
    in_child(
        "an_answer_is_given_as_often_as_told",
        Peer::softhsm,
        |shim, library| {
            let session = session(library);
            shim.set(&["C_GenerateRandom rv=0x32 after=1 times=2"]);
            let removed = Some(RvError::DeviceRemoved);
            let seen: Vec<_> = (0..5).map(|_| random(&session)).collect();
            assert_eq!(seen, [None, removed, removed, None, None]);
            shim.set(&["* rv=0x31"]);
            assert_eq!(random(&session), Some(RvError::DeviceMemory));
            assert_eq!(log_in(&session, PIN), Some(RvError::DeviceMemory));
            shim.set(&[]);
            assert_eq!(random(&session), None);
            assert_eq!(shim.calls("C_GenerateRandom"), 7);
        },
    );
}

#[test]
fn logins_fail_without_a_try_at_the_token() {
    in_child(
        "logins_fail_without_a_try_at_the_token",
        Peer::softhsm,
        |shim, library| {
            let session = session(library);
            shim.set(&["C_Login rv=0xa0"]);
            for _ in 0..20 {
                assert_eq!(log_in(&session, PIN), Some(RvError::PinIncorrect));
            }
            shim.set(&["C_Login rv=0xa4"]);
            assert_eq!(log_in(&session, PIN), Some(RvError::PinLocked));
            shim.set(&[]);
            assert_eq!(log_in(&session, PIN), None);
        },
    );
}

#[test]
fn a_delay_delays_and_holds_nobody_else_up() {
    in_child(
        "a_delay_delays_and_holds_nobody_else_up",
        Peer::softhsm,
        |shim, library| {
            let session = session(library);
            shim.set(&["C_GenerateRandom delay_us=20000"]);
            let begun = Instant::now();
            assert_eq!(random(&session), None);
            assert!(begun.elapsed() >= Duration::from_millis(20));
            // The first call sleeps for longer than the test may run; if it held a lock, the others would wait for it.
            shim.set(&["C_GenerateRandom delay_us=3600000000 times=1"]);
            let asleep = self::session(library);
            thread::spawn(move || random(&asleep));
            until(|| shim.calls("C_GenerateRandom") == 2);
            assert_eq!(random(&session), None);
        },
    );
}

#[test]
fn a_call_hangs_until_it_is_released() {
    in_child(
        "a_call_hangs_until_it_is_released",
        Peer::softhsm,
        |shim, library| {
            shim.set(&["C_GenerateRandom hang times=1"]);
            let (hung, other) = (session(library), session(library));
            let call = thread::spawn(move || random(&hung));
            until(|| shim.calls("C_GenerateRandom") == 1);
            for _ in 0..100 {
                assert_eq!(random(&other), None);
            }
            assert!(!call.is_finished());
            shim.set(&["C_Sign hang"]);
            assert_eq!(call.join().expect("returns"), None);
        },
    );
}

#[test]
fn an_abort_ends_the_process_at_the_call() {
    const TEST: &str = "an_abort_ends_the_process_at_the_call";
    if child().is_some() {
        return in_child(TEST, Peer::softhsm, |shim, library| {
            let session = session(library);
            shim.set(&["C_GenerateRandom abort after=2"]);
            for _ in 0..5 {
                assert_eq!(random(&session), None);
            }
        });
    }
    let directory = tempfile::tempdir().expect("a directory");
    let ended = run_again(TEST, &environment(directory.path(), Peer::softhsm));
    assert_eq!(ended.status.signal(), Some(SIGABRT), "{ended:?}");
    assert_eq!(Shim::new(directory.path()).calls("C_GenerateRandom"), 3);
}

#[test]
#[should_panic(expected = "names no function of PKCS#11")]
fn a_misspelt_command_is_refused_where_it_is_given() {
    let directory = tempfile::tempdir().expect("a directory");
    Shim::new(directory.path()).set(&["C_Sing hang"]);
}
