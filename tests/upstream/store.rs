//! A small stand-in for a key store of KMIP 2.1, for what PyKMIP lacks: it checks no rights, has no states but those of a key's life, searches by attributes alone, keeps nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wardcast::kmip::codec::{Item, Layout, Value, View, tag, values};
use wardcast::kmip::message::{Field, MessageError, Structure};
use wardcast::pki::Request;
use wardcast::tls::{self, Credentials, identity};

use crate::Site;
use crate::stub::{operations, respond};

/// The operations that it has.
const OPERATIONS: [u32; 13] = [
    values::Operation::Register,
    values::Operation::Locate,
    values::Operation::Get,
    values::Operation::GetAttributes,
    values::Operation::GetAttributeList,
    values::Operation::AddAttribute,
    values::Operation::Activate,
    values::Operation::Revoke,
    values::Operation::Destroy,
    values::Operation::Archive,
    values::Operation::Recover,
    values::Operation::Query,
    values::Operation::DiscoverVersions,
];

#[derive(Default)]
pub(crate) struct Store {
    objects: Mutex<BTreeMap<String, Kept>>,
    /// The content types of requests.
    pub(crate) seen: Mutex<Vec<String>>,
    /// Who sent each request, and the operations that it asked for.
    pub(crate) callers: Mutex<Vec<(String, Vec<u32>)>>,
    /// After so many more answers one is lost: what was asked is done, and nobody is told.
    pub(crate) lose: Mutex<Option<usize>>,
    /// Operations that are refused on objects whose names end so.
    pub(crate) refuse: Mutex<Vec<(u32, String)>>,
    /// A look-up names no more than so many, and says how many there are.
    pub(crate) room: Mutex<Option<usize>>,
}

struct Kept {
    object: Item,
    attributes: Vec<Item>,
    state: u32,
    archived: bool,
}

/// A reason why something is not done.
enum No {
    Reason(u32),
    Malformed(MessageError),
}

impl From<MessageError> for No {
    fn from(error: MessageError) -> Self {
        Self::Malformed(error)
    }
}

impl Store {
    /// Answers a request.
    pub(crate) fn answer(&self, request: &Item) -> Item {
        respond(request, |item, begun| match self.done(item) {
            Ok(payload) => begun
                .enumeration(tag::ResultStatus, values::ResultStatus::Success)
                .structure(payload),
            Err(no) => {
                let (reason, message) = match no {
                    No::Reason(reason) => (reason, "it cannot be done".to_owned()),
                    No::Malformed(error) => {
                        (values::ResultReason::InvalidMessage, error.to_string())
                    }
                };
                begun
                    .enumeration(tag::ResultStatus, values::ResultStatus::OperationFailed)
                    .enumeration(tag::ResultReason, reason)
                    .text(tag::ResultMessage, message)
            }
        })
    }

    /// An object is not there any more.
    pub(crate) fn forget(&self, object: &str) {
        self.objects.lock().expect("no panic").remove(object);
    }

    /// Whether this answer is the one to be lost.
    fn loses(&self) -> bool {
        let mut lose = self.lose.lock().expect("no panic");
        let now = *lose == Some(0);
        *lose = lose.and_then(|more| more.checked_sub(1));
        now
    }

    fn may(&self, operation: u32, attributes: &[Item]) -> Result<(), No> {
        let names = attributes.iter().filter(|item| item.tag == tag::Name);
        let names = names.filter_map(|name| match &name.value {
            Value::Structure(items) => items.first(),
            _ => None,
        });
        let refuse = self.refuse.lock().expect("no panic");
        let refused = |name: &Item| {
            let of = |(of, end): &(u32, String)| matches!(&name.value, Value::TextString(name) if *of == operation && name.ends_with(end.as_str()));
            refuse.iter().any(of)
        };
        match names.into_iter().any(refused) {
            true => Err(No::Reason(values::ResultReason::PermissionDenied)),
            false => Ok(()),
        }
    }

    fn done(&self, item: &Field<'_>) -> Result<Structure, No> {
        let operation = item.child(tag::Operation)?.enumeration()?;
        let asked = item.child(tag::RequestPayload)?;
        let answer = Structure::new(tag::ResponsePayload);
        let mut objects = self.objects.lock().expect("no panic");
        match operation {
            values::Operation::DiscoverVersions => {
                let version = Structure::new(tag::ProtocolVersion)
                    .integer(tag::ProtocolVersionMajor, 2)
                    .integer(tag::ProtocolVersionMinor, 1);
                return Ok(answer.structure(version));
            }
            values::Operation::Query => {
                let operations =
                    OPERATIONS.map(|value| Item::new(tag::Operation, Value::Enumeration(value)));
                return Ok(answer
                    .items(operations)
                    .enumeration(tag::ObjectType, values::ObjectType::SymmetricKey)
                    .enumeration(tag::ObjectType, values::ObjectType::SecretData)
                    .enumeration(tag::ObjectType, values::ObjectType::OpaqueObject)
                    .text(tag::VendorIdentification, "stand-in"));
            }
            values::Operation::Register => {
                let numbers = objects.keys().filter_map(|key| key.parse::<usize>().ok());
                let key = (numbers.max().unwrap_or(0) + 1).to_string();
                let object = asked
                    .items()?
                    .last()
                    .ok_or(No::Reason(values::ResultReason::MissingData))?;
                let mut attributes = asked.child(tag::Attributes)?.items()?.to_vec();
                attributes.push(asked.child(tag::ObjectType)?.item().clone());
                self.may(operation, &attributes)?;
                let kept = Kept {
                    object: object.clone(),
                    attributes,
                    state: values::State::PreActive,
                    archived: false,
                };
                objects.insert(key.clone(), kept);
                return Ok(answer.text(tag::UniqueIdentifier, key));
            }
            values::Operation::Locate => {
                let wanted = asked.child(tag::Attributes)?.items()?;
                let found = objects.iter().filter(|(_, kept)| {
                    wanted.iter().all(|wanted| kept.attributes.contains(wanted))
                });
                let found = found.map(|(key, _)| {
                    Item::new(tag::UniqueIdentifier, Value::TextString(key.clone()))
                });
                let found: Vec<Item> = found.collect();
                let room = self.room.lock().expect("no panic").unwrap_or(usize::MAX);
                return Ok(answer
                    .integer(tag::LocatedItems, found.len() as i32)
                    .items(found.into_iter().take(room)));
            }
            _ => {}
        }
        let key = asked.child(tag::UniqueIdentifier)?.text()?;
        let missing = No::Reason(values::ResultReason::ItemNotFound);
        let kept = objects.get_mut(key).ok_or(missing)?;
        self.may(operation, &kept.attributes)?;
        let answer = answer.text(tag::UniqueIdentifier, key);
        kept.done(operation, &asked, answer)
    }
}

impl Kept {
    fn done(
        &mut self,
        operation: u32,
        asked: &Field<'_>,
        answer: Structure,
    ) -> Result<Structure, No> {
        use values::{Operation as operation, State as state};
        let wrong = Err(No::Reason(values::ResultReason::IllegalOperation));
        match operation {
            operation::Recover => self.archived = false,
            _ if self.archived => return Err(No::Reason(values::ResultReason::ObjectArchived)),
            operation::Archive => self.archived = true,
            operation::Get => {
                let kind = match self.object.tag {
                    tag::OpaqueObject => values::ObjectType::OpaqueObject,
                    tag::SecretData => values::ObjectType::SecretData,
                    _ => values::ObjectType::SymmetricKey,
                };
                let answer = answer.enumeration(tag::ObjectType, kind);
                return Ok(answer.items([self.object.clone()]));
            }
            operation::GetAttributes => {
                let state = Item::new(tag::State, Value::Enumeration(self.state));
                let wanted = asked.children(tag::AttributeReference)?;
                let wanted: Vec<u32> = wanted
                    .map(|wanted| wanted.enumeration())
                    .collect::<Result<_, _>>()?;
                let all = self.attributes.iter().cloned().chain([state]);
                let found =
                    all.filter(|found| wanted.is_empty() || wanted.contains(&found.tag.number()));
                let found = Structure::new(tag::Attributes).items(found);
                return Ok(answer.structure(found));
            }
            operation::GetAttributeList => {
                let tags = self.attributes.iter().map(|found| found.tag.number());
                return Ok(answer.items(tags.map(|number| {
                    Item::new(tag::AttributeReference, Value::Enumeration(number))
                })));
            }
            operation::AddAttribute => {
                let added = asked.child(tag::NewAttribute)?.items()?;
                self.attributes.extend_from_slice(added);
            }
            operation::Activate if self.state == state::PreActive => self.state = state::Active,
            operation::Revoke => {
                let reason = asked.child(tag::RevocationReason)?;
                let reason = reason.child(tag::RevocationReasonCode)?.enumeration()?;
                self.state = match reason {
                    values::RevocationReasonCode::KeyCompromise => state::Compromised,
                    _ => state::Deactivated,
                };
            }
            operation::Destroy if self.state != state::Active => self.state = state::Destroyed,
            _ => return wrong,
        }
        Ok(answer)
    }
}

/// Serves a store at `/kmip`, over HTTPS; returns the URL.
pub(crate) async fn serve(site: &Site, store: Arc<Store>) -> String {
    let request = Request::server("stand-in").host("127.0.0.1");
    let issued = site.authority.issue(&request).expect("a certificate");
    let credentials = Credentials::new(issued.chain(), issued.key());
    let tls = tls::server_config(credentials, &site.trust(), &[b"http/1.1"]);
    let tls = TlsAcceptor::from(Arc::new(tls.expect("a TLS configuration")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let router = Router::new().route("/kmip", post(posted)).with_state(store);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, router) = (tls.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                let chain = stream.get_ref().1.peer_certificates();
                let caller = identity(&chain.expect("a certificate")[0]);
                let caller = caller.expect("a name").0.to_string();
                let service = TowerToHyperService::new(router.layer(Extension(caller)));
                let builder = Builder::new(TokioExecutor::new());
                // A client may go away at any time.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    format!("https://{address}/kmip")
}

async fn posted(
    State(store): State<Arc<Store>>,
    Extension(caller): Extension<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    store.seen.lock().expect("no panic").push(kind.to_owned());
    let view = [View::Ttlv, View::Json, View::Xml]
        .into_iter()
        .find(|view| view.content_type() == kind);
    let Some(view) = view else {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    };
    let Ok(request) = view.decode(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut callers = store.callers.lock().expect("no panic");
    callers.push((caller, operations(&request)));
    drop(callers);
    let answer = view.encode(&store.answer(&request), Layout::OneLine);
    if store.loses() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let answer = answer.expect("encoded").to_vec();
    ([(CONTENT_TYPE, view.content_type())], answer).into_response()
}
