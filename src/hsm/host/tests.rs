//! Host and gateway over a real socket, with tokens that misbehave on command.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::protocol::{self, Answer, Request, VERSION};
use super::server::{BindError, End, HostOptions, Server, bind, serve};
use super::{lazy, remote};
use crate::group::ids::MasterId;
use crate::group::operations::{Batch, Operation, Output};
use crate::hsm::conformance::{batch, key, soft_config};
use crate::hsm::{ErrorClass, Executed, Opener, Profile, RingChange, Token, TokenError, provision};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(60);
/// For calls that are to run out of time.
const SHORT: Duration = Duration::from_secs(1);

/// What a [`Puppet`] does at its next call.
enum Order {
    Answer,
    Fail(TokenError),
    /// Comes back when the channel closes.
    Hang(Receiver<()>),
    Panic,
    /// Answers with outputs that nobody asked for.
    Lie,
}

/// A token that does as it is told.
struct Puppet {
    inner: Box<dyn Token>,
    orders: Arc<Mutex<Vec<Order>>>,
    closed: Arc<AtomicUsize>,
}

impl Token for Puppet {
    fn profile(&self) -> &Profile {
        self.inner.profile()
    }

    fn execute(&mut self, batches: &[Batch]) -> Executed {
        let order = self.orders.lock().expect("orders").pop();
        let all = |result: Result<Vec<Output>, TokenError>| {
            let mut executed = Executed::for_batches(batches);
            batches.iter().for_each(|_| executed.push(result.clone()));
            executed
        };
        match order.unwrap_or(Order::Answer) {
            Order::Answer => self.inner.execute(batches),
            Order::Fail(error) => all(Err(error)),
            Order::Hang(back) => {
                let _ = back.recv();
                all(Ok(vec![]))
            }
            Order::Panic => panic!("as told"),
            Order::Lie => all(Ok(vec![Output::BadPublicKey])),
        }
    }

    fn ring(&mut self, change: RingChange) -> Result<Vec<MasterId>, TokenError> {
        self.inner.ring(change)
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A host with a soft token that misbehaves on command.
struct Stage {
    folder: tempfile::TempDir,
    server: Server,
    orders: Arc<Mutex<Vec<Order>>>,
    closed: Arc<AtomicUsize>,
}

impl Stage {
    fn new(options: HostOptions) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let config = soft_config(folder.path());
        provision(&config).expect("provisions");
        let orders = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicUsize::new(0));
        let token = lazy(config);
        // Opening the file takes long on purpose, once.
        token().expect("opens");
        let (own, ends) = (orders.clone(), closed.clone());
        let opener: Opener = Arc::new(move || {
            Ok(Box::new(Puppet {
                inner: token()?,
                orders: own.clone(),
                closed: ends.clone(),
            }) as Box<dyn Token>)
        });
        let listener = bind(&folder.path().join("host"), false).expect("listens");
        let server = serve(listener, opener, options).expect("serves");
        Stage {
            folder,
            server,
            orders,
            closed,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    fn order(&self, order: Order) {
        self.orders.lock().expect("orders").push(order);
    }

    fn session(&self, patience: Duration) -> Result<Box<dyn Token>, TokenError> {
        remote::opener(&self.socket(), patience)()
    }

    /// Waits until that many sessions have been closed.
    fn closes(&self, count: usize) {
        soon("sessions are closed", || {
            self.closed.load(Ordering::SeqCst) == count
        });
    }
}

fn soon(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn edge() -> Operation {
    Operation::Wrap {
        child: key(0, 0, 1, 0),
        parent: key(1, 0, 1, 0),
    }
}

fn class_of(result: Result<Vec<Output>, TokenError>) -> ErrorClass {
    result.expect_err("fails").class()
}

#[test]
fn many_batches_of_several_groups_are_one_call() {
    let stage = Stage::new(HostOptions::default());
    let mut token = stage.session(SOON).expect("opens");
    assert!(
        token
            .profile()
            .description
            .contains("in a token host (not sandboxed)")
    );
    let mut batches = vec![
        batch(vec![edge()]),
        batch(vec![]),
        batch(vec![edge(), edge()]),
    ];
    batches[2].group.0[0] ^= 1;
    let results = token.execute(&batches).into_results();
    let lengths: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().map(Vec::len))
        .collect();
    assert_eq!(lengths, [Ok(1), Ok(0), Ok(2)]);
    // A failure of the whole call is one of each batch of it, and of no other call's.
    stage.order(Order::Fail(TokenError::Panicked));
    let results = token.execute(&batches).into_results();
    assert_eq!(results, vec![Err(TokenError::Panicked); 3]);
}

#[test]
fn more_than_one_call_takes_is_several_calls_and_more_than_any_takes_is_refused() {
    let stage = Stage::new(HostOptions::default());
    let mut token = stage.session(SOON).expect("opens");
    let mut batches = vec![batch(vec![]); protocol::MAX_BATCHES + 1];
    batches.push(batch(vec![edge(); protocol::MAX_OPERATIONS + 1]));
    batches.push(batch(vec![edge()]));
    // The first call fails, the others do not.
    stage.order(Order::Fail(TokenError::Panicked));
    let results = token.execute(&batches).into_results();
    assert_eq!(results.len(), batches.len());
    let (first, rest) = results.split_at(protocol::MAX_BATCHES);
    assert!(first.iter().all(Result::is_err));
    assert_eq!(rest[0], Ok(vec![]));
    assert!(matches!(rest[1], Err(TokenError::BadBatch(_))));
    assert_eq!(rest[2].as_ref().map(Vec::len), Ok(1));
}

#[test]
fn errors_arrive_as_they_were() {
    let stage = Stage::new(HostOptions::default());
    let mut token = stage.session(SOON).expect("opens");
    let error = TokenError::Call {
        class: ErrorClass::Retry,
        operation: "wrap a key".into(),
        code: "C_WrapKey: CKR_DEVICE_MEMORY".to_owned(),
        value: Some(0x31),
    };
    stage.order(Order::Fail(error.clone()));
    assert_eq!(token.execute_one(&batch(vec![edge()])), Err(error));
    // The session is still of use.
    assert!(token.execute_one(&batch(vec![edge()])).is_ok());
}

#[test]
fn a_call_that_takes_too_long_costs_that_session_only() {
    let stage = Stage::new(HostOptions::default());
    let (let_go, hang) = channel::<()>();
    stage.order(Order::Hang(hang));
    let mut late = stage.session(SHORT).expect("opens");
    let error = late.execute_one(&batch(vec![edge()])).expect_err("is late");
    assert_eq!(error.class(), ErrorClass::Elsewhere);
    assert!(error.to_string().contains("within 1 s"), "{error}");
    // The answer that comes late is nobody's.
    drop(let_go);
    let after = late.execute_one(&batch(vec![edge()]));
    assert_eq!(class_of(after), ErrorClass::LoginNeeded);
    let mut other = stage.session(SOON).expect("opens");
    assert!(other.execute_one(&batch(vec![edge()])).is_ok());
    stage.closes(1);
}

#[test]
fn a_host_with_too_many_stuck_calls_ends() {
    let stage = Stage::new(HostOptions {
        stuck: 1,
        ..HostOptions::default()
    });
    let server = stage.server.clone();
    let (told, ended) = channel();
    std::thread::spawn(move || told.send(server.wait()));
    let mut let_go: Vec<Sender<()>> = Vec::new();
    for _ in 0..2 {
        let (sender, hang) = channel();
        let_go.push(sender);
        stage.order(Order::Hang(hang));
        let result = stage
            .session(SHORT)
            .expect("opens")
            .execute_one(&batch(vec![edge()]));
        assert_eq!(class_of(result), ErrorClass::Elsewhere);
    }
    assert_eq!(ended.recv_timeout(SOON), Ok(End::Stuck));
}

#[test]
fn a_call_that_comes_back_is_not_stuck_any_more() {
    let stage = Stage::new(HostOptions {
        stuck: 0,
        ..HostOptions::default()
    });
    let (let_go, hang) = channel::<()>();
    stage.order(Order::Hang(hang));
    let mut token = stage.session(SHORT).expect("opens");
    assert!(token.execute_one(&batch(vec![edge()])).is_err());
    drop(let_go);
    drop(token);
    stage.closes(1);
    stage.server.stop();
    assert_eq!(stage.server.wait(), End::Stopped);
}

#[test]
fn a_panic_in_the_token_costs_its_session_only() {
    let stage = Stage::new(HostOptions::default());
    let mut token = stage.session(SOON).expect("opens");
    stage.order(Order::Panic);
    assert_eq!(
        token.execute_one(&batch(vec![edge()])),
        Err(TokenError::Panicked)
    );
    stage.closes(1);
    let result = token.execute_one(&batch(vec![edge()]));
    assert_eq!(class_of(result), ErrorClass::LoginNeeded);
    assert!(stage.session(SOON).is_ok());
}

#[test]
fn outputs_that_do_not_fit_end_the_session() {
    let stage = Stage::new(HostOptions::default());
    let mut token = stage.session(SOON).expect("opens");
    stage.order(Order::Lie);
    let error = token
        .execute_one(&batch(vec![edge()]))
        .expect_err("does not fit");
    assert!(error.to_string().contains("does not fit"), "{error}");
    assert_eq!(error.class(), ErrorClass::LoginNeeded);
    stage.closes(1);
}

#[test]
fn strangers_are_not_served() {
    let own = rustix::process::getuid().as_raw();
    let stage = Stage::new(HostOptions {
        uids: vec![own + 1],
        ..HostOptions::default()
    });
    let error = stage.session(SOON).err().expect("is refused");
    assert_eq!(error.class(), ErrorClass::LoginNeeded);
    assert!(remote::ping(&stage.socket(), SOON).is_err());
}

#[test]
fn a_host_that_is_full_says_so_and_counts_as_alive() {
    let stage = Stage::new(HostOptions {
        connections: 2,
        ..HostOptions::default()
    });
    let first = stage.session(SOON).expect("opens");
    let _second = stage.session(SOON).expect("opens");
    let error = stage.session(SOON).err().expect("is full");
    assert_eq!(error.class(), ErrorClass::Elsewhere);
    assert!(
        error.to_string().contains("2 connections are taken"),
        "{error}"
    );
    remote::ping(&stage.socket(), SOON).expect("is alive");
    drop(first);
    stage.closes(1);
    soon("a seat is free", || stage.session(SOON).is_ok());
}

#[test]
fn stopping_closes_idle_sessions_and_finishes_calls() {
    let stage = Stage::new(HostOptions::default());
    let mut idle = stage.session(SOON).expect("opens");
    let mut busy = stage.session(SOON).expect("opens");
    let (let_go, hang) = channel::<()>();
    stage.order(Order::Hang(hang));
    let call = std::thread::spawn(move || busy.execute_one(&batch(vec![])));
    soon("the call has begun", || {
        stage.orders.lock().expect("orders").is_empty()
    });
    stage.server.stop();
    stage.closes(1);
    drop(let_go);
    assert_eq!(call.join().expect("no panic"), Ok(vec![]));
    assert_eq!(stage.server.wait(), End::Stopped);
    stage.closes(2);
    assert!(idle.execute_one(&batch(vec![])).is_err());
    let error = stage.session(SOON).err().expect("nobody listens");
    assert_eq!(error.class(), ErrorClass::Elsewhere);
}

#[test]
fn what_is_no_question_ends_the_connection() {
    let stage = Stage::new(HostOptions::default());
    let mut stream = UnixStream::connect(stage.socket()).expect("connects");
    std::io::Write::write_all(&mut stream, &[0, 0, 0, 2, 0xff, 0xff]).expect("writes");
    assert_eq!(stream.read(&mut [0; 1]).expect("ends"), 0);
}

#[test]
fn a_session_begins_with_hello_of_the_same_version_and_says_it_once() {
    let stage = Stage::new(HostOptions::default());
    let mut stream = UnixStream::connect(stage.socket()).expect("connects");
    let mut ask = |request: Request| {
        protocol::write(&mut stream, &request).expect("writes");
        protocol::read::<Answer>(&mut stream)
            .expect("reads")
            .expect("an answer")
    };
    let hello = |version| Request::Hello {
        version,
        budget_ms: 60_000,
    };
    let says = |answer: Answer, what: &str| match answer {
        Answer::Failed { error } => assert!(error.to_string().contains(what), "{error}"),
        other => panic!("{other:?}"),
    };
    let execute = Request::Execute {
        budget_ms: 1,
        batches: vec![],
    };
    says(ask(execute), "begins with hello");
    let versions = format!("speaks version {VERSION}, the gateway {}", VERSION + 1);
    says(ask(hello(VERSION + 1)), &versions);
    assert!(matches!(ask(hello(VERSION)), Answer::Welcome { .. }));
    says(ask(hello(VERSION)), "says hello once");
    let many = Request::Execute {
        budget_ms: 60_000,
        batches: vec![batch(vec![]); protocol::MAX_BATCHES + 1],
    };
    says(ask(many), "more batches or operations");
    assert_eq!(ask(Request::Ping), Answer::Pong);
}

/// A host that says what it is told to, once.
fn impostor(folder: &Path, says: Vec<u8>) -> PathBuf {
    let socket = folder.join("impostor");
    let listener = UnixListener::bind(&socket).expect("listens");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a gateway");
        protocol::read::<Request>(&mut stream).expect("a question");
        std::io::Write::write_all(&mut stream, &says).expect("writes");
    });
    socket
}

#[test]
fn answers_that_are_none_are_errors() {
    let answer = |answer: &Answer| {
        let mut frame = Vec::new();
        protocol::write(&mut frame, answer).expect("writes");
        frame
    };
    for (says, error) in [
        (vec![], "the connection was closed"),
        (vec![0, 0, 1], "the connection was closed"),
        (vec![0xff; 8], "longer than"),
        (vec![0, 0, 0, 1, 0xff], "malformed"),
        (answer(&Answer::Pong), "does not fit"),
    ] {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = impostor(folder.path(), says.clone());
        let refused = remote::opener(&socket, SOON)();
        let refused = refused.err().expect("is no session");
        assert_eq!(refused.class(), ErrorClass::LoginNeeded, "{refused}");
        assert!(refused.to_string().contains(error), "{says:?}: {refused}");
    }
}

#[test]
fn a_host_that_accepts_nothing_costs_no_more_than_the_patience() {
    let folder = tempfile::tempdir().expect("a directory");
    let socket = folder.path().join("frozen");
    let listener = UnixListener::bind(&socket).expect("listens");
    rustix::net::listen(&listener, 1).expect("a short queue");
    // Some wait for an answer, the others for a place in the queue: none waits for ever.
    for _ in 0..6 {
        let error = remote::ping(&socket, SHORT).expect_err("nobody answers");
        assert_eq!(error.class(), ErrorClass::Elsewhere, "{error}");
    }
}

#[test]
fn only_its_own_leftovers_make_way_for_a_socket() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("host");
    let listener = bind(&path, false).expect("listens");
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert!(matches!(bind(&path, false), Err(BindError::Taken(_))));
    drop(listener);
    bind(&path, true).expect("nobody listens there any more");
    assert_eq!(mode(&path), 0o660);
    let file = folder.path().join("file");
    fs::write(&file, "precious").expect("writes");
    assert!(matches!(bind(&file, false), Err(BindError::NoSocket(_))));
    assert_eq!(fs::read_to_string(&file).expect("reads"), "precious");
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("a directory");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("opens it");
    let refused = bind(&open.join("host"), false);
    assert!(matches!(refused, Err(BindError::Directory(_))));
}

#[test]
fn a_refused_pin_is_tried_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let config = soft_config(folder.path());
    provision(&config).expect("provisions");
    let crate::hsm::PinSource::File(pin) = &config.pin else {
        panic!("a file");
    };
    fs::write(pin, "654321").expect("writes");
    let opener = lazy(config.clone());
    let first = opener().err().expect("is refused");
    assert!(first.refuses_pin());
    // Not even when the right one is there: whoever corrects it starts the host again.
    fs::write(pin, crate::hsm::conformance::PIN).expect("writes");
    assert_eq!(opener().err(), Some(first));
    assert!(lazy(config)().is_ok());
}
