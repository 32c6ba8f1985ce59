//! Stand-ins of servers that take events over HTTPS. They speak the protocols as their makers describe them and are no more than that:
//! neither is the product, and what only the product does, no test here shows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Deserializer, Value, json};
use tokio::task::JoinHandle;
use wardcast::https::{ALPN, HttpsListener, Options, Times};
use wardcast::pki::{Authority, Request};
use wardcast::tls::{self, Credentials, Trust};

pub(crate) const TOKEN: &str = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0";

/// What a collector does with the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes them.
    Good,
    /// Answers with this status, and takes nothing.
    Refuses(u16),
    /// Takes them and acknowledges nothing.
    Forgets,
}

/// What a collector has.
pub(crate) struct Store {
    pub(crate) mood: Mood,
    /// Each event of each request that was taken, in that order.
    pub(crate) taken: Vec<Value>,
    /// Whoever shows another one is refused.
    pub(crate) token: String,
    /// How many requests came.
    pub(crate) requests: usize,
    /// What was posted under which number, and how often it was asked for since: what a real one has in memory alone.
    pending: HashMap<u64, (Vec<Value>, u32)>,
    next: u64,
    /// How often it is asked for an acknowledgement before that is there.
    pub(crate) late: u32,
}

type Shared = Arc<Mutex<Store>>;

/// A collector. It ends when this is dropped.
pub(crate) struct Collector {
    folder: tempfile::TempDir,
    authority: Authority,
    address: SocketAddr,
    store: Shared,
    serving: Option<JoinHandle<()>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new("collector's").expect("an authority");
        let folder = tempfile::tempdir().expect("a folder");
        let ca = folder.path().join("ca.pem");
        std::fs::write(ca, authority.certificate_pem()).expect("written");
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).expect("written");
        let store = Store {
            mood: Mood::Good,
            taken: Vec::new(),
            token: TOKEN.to_owned(),
            requests: 0,
            pending: HashMap::new(),
            next: 0,
            late: 2,
        };
        let mut collector = Collector {
            folder,
            authority,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: Arc::new(Mutex::new(store)),
            serving: None,
        };
        collector.restart().await;
        collector
    }

    /// Serves again on its port.
    pub(crate) async fn restart(&mut self) {
        let request = Request::server("collector").host("localhost");
        let issued = self.authority.issue(&request).expect("a certificate");
        let trust = Trust::new([self.authority.certificate().clone()], Vec::new());
        let credentials = Credentials::new(issued.chain(), issued.key());
        let tls = tls::open_server_config(credentials, &trust.expect("an authority"), &[ALPN]);
        let options = Options {
            name: "collector",
            connections: 16,
            times: Times::STANDARD,
        };
        let tls = tls.expect("a TLS configuration");
        let listener = HttpsListener::bind(self.address, tls, options).await;
        let listener = listener.expect("listens");
        self.address = listener.local_addr();
        let router = Router::new()
            .route("/ocsf", post(ocsf))
            .route("/services/collector/event", post(event))
            .route("/services/collector/ack", post(ack))
            .layer(DefaultBodyLimit::max(1_000_000))
            .with_state(self.store.clone());
        let serving = listener.serve(router, std::future::pending());
        self.serving = Some(tokio::spawn(serving));
    }

    /// Ends in the midst of what it does, and forgets what it has in memory alone.
    pub(crate) async fn kill(&mut self) {
        let serving = self.serving.take().expect("it serves");
        serving.abort();
        let _ = serving.await;
        self.store().pending.clear();
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no panic")
    }

    /// The numbers of the records that it has.
    pub(crate) fn sequences(&self, of: impl Fn(&Value) -> &Value) -> Vec<u64> {
        let store = self.store();
        let all = store.taken.iter();
        all.map(|event| of(event).as_u64().expect("a number"))
            .collect()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

fn refused(store: &Store, scheme: &str, headers: &HeaderMap) -> Option<(StatusCode, String)> {
    match store.mood {
        _ if headers["authorization"] != format!("{scheme} {}", store.token) => {
            let text = json!({ "text": "Invalid token", "code": 4 });
            Some((StatusCode::FORBIDDEN, text.to_string()))
        }
        Mood::Refuses(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            Some((
                status,
                json!({ "text": "Server is busy", "code": 9 }).to_string(),
            ))
        }
        _ => None,
    }
}

async fn ocsf(
    State(store): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut store = store.lock().expect("no panic");
    store.requests += 1;
    if let Some(refused) = refused(&store, "Bearer", &headers) {
        return refused;
    }
    assert_eq!(headers["content-type"], "application/json");
    let events: Vec<Value> = serde_json::from_slice(&body).expect("an array");
    store.taken.extend(events);
    (StatusCode::ACCEPTED, String::new())
}

async fn event(
    State(store): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut store = store.lock().expect("no panic");
    store.requests += 1;
    if let Some(refused) = refused(&store, "Splunk", &headers) {
        return refused;
    }
    assert_eq!(headers["x-splunk-request-channel"].len(), 36);
    let events = Deserializer::from_slice(&body).into_iter::<Value>();
    let events: Result<Vec<Value>, _> = events.collect();
    let number = store.next;
    store.next += 1;
    store.pending.insert(number, (events.expect("objects"), 0));
    let answer = json!({ "text": "Success", "code": 0, "ackId": number });
    (StatusCode::OK, answer.to_string())
}

/// Events count as taken once they are acknowledged: before, they are in memory.
async fn ack(
    State(store): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut store = store.lock().expect("no panic");
    if let Some(refused) = refused(&store, "Splunk", &headers) {
        return refused;
    }
    assert_eq!(
        query["channel"],
        headers["x-splunk-request-channel"].to_str().expect("text")
    );
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let mut acks = serde_json::Map::new();
    for number in asked["acks"].as_array().expect("numbers") {
        let number = number.as_u64().expect("a number");
        let late = store.late;
        let forgets = store.mood == Mood::Forgets;
        let there = match store.pending.get_mut(&number) {
            Some((_, asked)) if !forgets && *asked >= late => true,
            Some((_, asked)) => {
                *asked += 1;
                false
            }
            None => false,
        };
        if there {
            // It says so once.
            let (events, _) = store.pending.remove(&number).expect("is there");
            store.taken.extend(events);
        }
        acks.insert(number.to_string(), there.into());
    }
    (StatusCode::OK, json!({ "acks": acks }).to_string())
}
