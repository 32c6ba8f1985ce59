//! A client of the front: our codec, and an HTTPS client.

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::{Item, Layout, Value, View, tag, values};
use wardcast::kmip::message::{Field, Structure};
use wardcast::tls;

use crate::support::{SOON, Site};

/// Somebody who asks.
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    url: String,
    /// What goes into the header that says who asks.
    pub(crate) token: Option<String>,
    /// What its requests are called.
    named: Option<String>,
}

/// The answer to one item.
#[derive(Clone, Debug)]
pub(crate) struct Reply(Item);

impl Reply {
    fn field(&self) -> Field<'_> {
        Field::of(&self.0, tag::BatchItem).expect("an item")
    }

    pub(crate) fn status(&self) -> u32 {
        let status = self.field().child(tag::ResultStatus).expect("a status");
        status.enumeration().expect("a number")
    }

    pub(crate) fn reason(&self) -> Option<u32> {
        let reason = self.field().optional(tag::ResultReason).expect("items");
        reason.map(|reason| reason.enumeration().expect("a number"))
    }

    pub(crate) fn message(&self) -> String {
        let message = self.field().optional(tag::ResultMessage).expect("items");
        let text = |message: Field<'_>| message.text().expect("text").to_owned();
        message.map(text).unwrap_or_default()
    }

    pub(crate) fn operation(&self) -> Option<u32> {
        let operation = self.field().optional(tag::Operation).expect("items");
        operation.map(|operation| operation.enumeration().expect("a number"))
    }

    pub(crate) fn id(&self) -> Option<Vec<u8>> {
        let id = self
            .field()
            .optional(tag::UniqueBatchItemID)
            .expect("items");
        id.map(|id| id.bytes().expect("bytes").to_vec())
    }

    /// The payload of what was done.
    pub(crate) fn payload(&self) -> Item {
        assert_eq!(self.status(), values::ResultStatus::Success, "{self:?}");
        let payload = self.field().child(tag::ResponsePayload);
        payload.expect("a payload").item().clone()
    }

    /// The identifier of an object that was registered, or that something was done to.
    pub(crate) fn object(&self) -> String {
        let payload = self.payload();
        let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
        let object = payload.child(tag::UniqueIdentifier).expect("an identifier");
        object.text().expect("text").to_owned()
    }

    /// The identifiers of all that was found.
    pub(crate) fn objects(&self) -> Vec<String> {
        let payload = self.payload();
        let payload = Field::of(&payload, tag::ResponsePayload).expect("a payload");
        let found = payload
            .children(tag::UniqueIdentifier)
            .expect("identifiers");
        found
            .map(|id| id.text().expect("text").to_owned())
            .collect()
    }

    /// The correlation value of what is pending.
    pub(crate) fn pending(&self) -> Vec<u8> {
        assert_eq!(
            self.status(),
            values::ResultStatus::OperationPending,
            "{self:?}"
        );
        let value = self.field().child(tag::AsynchronousCorrelationValue);
        value.expect("a value").bytes().expect("bytes").to_vec()
    }

    #[track_caller]
    pub(crate) fn denied(&self) -> String {
        assert_eq!(
            self.reason(),
            Some(values::ResultReason::PermissionDenied),
            "{self:?}"
        );
        self.message()
    }
}

impl Caller {
    /// With a certificate of this common name, or without one.
    pub(crate) fn new(site: &Site, name: Option<&str>) -> Self {
        let tls = match name {
            Some(name) => tls::client_config(site.credentials(name), &site.trust(), &[b"http/1.1"]),
            None => tls::anonymous_client_config(&site.trust(), &[b"http/1.1"]),
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.expect("a TLS configuration"))
            .no_proxy()
            // The gateway is killed and started again on the same port.
            .pool_max_idle_per_host(0)
            .timeout(SOON)
            .build()
            .expect("a client");
        let port = site.front.expect("a front").port();
        Self {
            http,
            url: format!("https://localhost:{port}"),
            token: None,
            named: None,
        }
    }

    /// The same by requests that are called so.
    pub(crate) fn named(mut self, request: &str) -> Self {
        self.named = Some(request.to_owned());
        self
    }

    /// The same with a bearer token.
    pub(crate) fn bearing(mut self, token: &str) -> Self {
        self.token = Some(format!("Bearer {token}"));
        self
    }

    /// Posts anything.
    pub(crate) async fn post(&self, kind: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let request = self
            .http
            .post(format!("{}/kmip", self.url))
            .header(CONTENT_TYPE, kind);
        let request = match &self.token {
            Some(token) => request.header("authorization", token),
            None => request,
        };
        let request = match &self.named {
            Some(name) => request.header("x-request-id", name),
            None => request,
        };
        let answer = request.body(body).send().await.expect("an answer");
        let status = answer.status();
        if status == StatusCode::OK {
            assert_eq!(
                answer.headers()[CONTENT_TYPE],
                kind.split(';').next().expect("a type").trim()
            );
        }
        (status, answer.bytes().await.expect("a body").to_vec())
    }

    /// One message each way.
    pub(crate) async fn send(&self, view: View, message: &Item) -> Item {
        let body = view.encode(message, Layout::OneLine).expect("encoded");
        let (status, answer) = self.post(view.content_type(), body.to_vec()).await;
        assert_eq!(
            status,
            StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&answer)
        );
        view.decode(&answer).expect("a message")
    }

    /// The answers to a message, in TTLV.
    pub(crate) async fn exchange(&self, message: Message) -> Vec<Reply> {
        replies(&self.send(View::Ttlv, &message.into()).await)
    }

    /// The answer to one operation.
    pub(crate) async fn ask(&self, version: Version, operation: u32, payload: Structure) -> Reply {
        let replies = self
            .exchange(Message::new(version).item(operation, payload))
            .await;
        replies.into_iter().next().expect("an answer")
    }

    /// One that is answered later; the value to poll with.
    pub(crate) async fn ask_later(&self, operation: u32, payload: Structure) -> Reply {
        let message = Message::new(Version::V1_4).later(Value::Boolean(true));
        let replies = self.exchange(message.item(operation, payload)).await;
        replies.into_iter().next().expect("an answer")
    }

    pub(crate) async fn poll(&self, value: &[u8]) -> Reply {
        self.about(values::Operation::Poll, value).await
    }

    pub(crate) async fn cancel(&self, value: &[u8]) -> Reply {
        self.about(values::Operation::Cancel, value).await
    }

    async fn about(&self, operation: u32, value: &[u8]) -> Reply {
        let asked = payload().bytes(tag::AsynchronousCorrelationValue, value);
        self.ask(Version::V1_4, operation, asked).await
    }

    /// Polls until there is an answer.
    pub(crate) async fn answered(&self, value: &[u8]) -> Reply {
        let began = std::time::Instant::now();
        loop {
            let reply = self.poll(value).await;
            if reply.status() != values::ResultStatus::OperationPending {
                return reply;
            }
            assert!(began.elapsed() < 2 * SOON, "still pending");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// The answers in a response, after a look at its header.
pub(crate) fn replies(response: &Item) -> Vec<Reply> {
    let message = Field::of(response, tag::ResponseMessage).expect("a response");
    let header = message.child(tag::ResponseHeader).expect("a header");
    let count = header
        .child(tag::BatchCount)
        .and_then(|count| count.integer());
    let items = message.children(tag::BatchItem).expect("items");
    let replies: Vec<Reply> = items.map(|item| Reply(item.item().clone())).collect();
    assert_eq!(count, Ok(replies.len() as i32));
    header.child(tag::TimeStamp).expect("a time");
    replies
}

/// A request that is being built.
pub(crate) struct Message {
    header: Structure,
    items: Vec<(u32, Structure)>,
    pub(crate) beside: Vec<Item>,
}

impl Message {
    pub(crate) fn new(version: Version) -> Self {
        let (major, minor) = version.numbers();
        let version = Structure::new(tag::ProtocolVersion)
            .integer(tag::ProtocolVersionMajor, major)
            .integer(tag::ProtocolVersionMinor, minor);
        Self {
            header: Structure::new(tag::RequestHeader).structure(version),
            items: Vec::new(),
            beside: Vec::new(),
        }
    }

    pub(crate) fn item(mut self, operation: u32, payload: Structure) -> Self {
        self.items.push((operation, payload));
        self
    }

    /// An item whose payload is there already.
    pub(crate) fn raw(self, operation: u32, payload: Item) -> Self {
        self.item(operation, structure(payload))
    }

    pub(crate) fn header(mut self, item: Item) -> Self {
        self.header = self.header.items([item]);
        self
    }

    pub(crate) fn later(self, indicator: Value) -> Self {
        self.header(Item::new(tag::AsynchronousIndicator, indicator))
    }

    pub(crate) fn go_on(self) -> Self {
        let on = values::BatchErrorContinuationOption::Continue;
        self.header(Item::new(
            tag::BatchErrorContinuationOption,
            Value::Enumeration(on),
        ))
    }
}

impl From<Message> for Item {
    fn from(message: Message) -> Self {
        let several = message.items.len() > 1;
        let header = message
            .header
            .integer(tag::BatchCount, message.items.len() as i32);
        let items = message
            .items
            .into_iter()
            .enumerate()
            .map(|(place, (operation, payload))| {
                let mut item =
                    Structure::new(tag::BatchItem).enumeration(tag::Operation, operation);
                if several {
                    item = item.bytes(tag::UniqueBatchItemID, [b'i', place as u8].as_slice());
                }
                Item::from(
                    item.structure(payload)
                        .items(message.beside.iter().cloned()),
                )
            });
        let built = Structure::new(tag::RequestMessage).structure(header);
        built.items(items).into()
    }
}

/// A payload without items.
pub(crate) fn payload() -> Structure {
    Structure::new(tag::RequestPayload)
}

/// A payload about an object.
pub(crate) fn about(object: &str) -> Structure {
    payload().text(tag::UniqueIdentifier, object)
}

/// Registers an opaque object with a name.
pub(crate) fn opaque(version: Version, name: &str, value: &[u8]) -> Structure {
    use wardcast::kmip::client::{Attribute, Object, OpaqueObject, Register, Request};
    let register = Register {
        object: Object::Opaque(OpaqueObject {
            // The one kind that PyKMIP knows.
            kind: 0x8000_0000,
            value: value.into(),
        }),
        attributes: vec![Attribute::name(name)],
    };
    structure(register.payload(version))
}

/// Registers a key in the clear, as no client of ours does.
pub(crate) fn plain_key(name: &str, key: &[u8]) -> Structure {
    use wardcast::kmip::client::{Attribute, KeyWrapping, Object, Register, Request, WrappedKey};
    let register = Register {
        object: Object::WrappedKey(WrappedKey {
            format: values::KeyFormatType::Raw,
            algorithm: values::CryptographicAlgorithm::AES,
            length: key.len() as i32 * 8,
            wrapping: KeyWrapping {
                method: values::WrappingMethod::Encrypt,
                unique_identifier: "1".to_owned(),
                block_cipher_mode: values::BlockCipherMode::NISTKeyWrap,
                algorithm: None,
                encoding: values::EncodingOption::NoEncoding,
            },
            material: key.into(),
        }),
        attributes: vec![
            Attribute::name(name),
            Attribute::usage(values::CryptographicUsageMask::Encrypt),
        ],
    };
    let without = |item: Item| without(item, tag::KeyWrappingData);
    structure(without(register.payload(Version::V1_4)))
}

/// Lets the store make a key of this name.
pub(crate) fn create(name: &str) -> Structure {
    let register = plain_key(name, &[0; 16]);
    structure(without(register.into(), tag::SymmetricKey))
}

fn without(item: Item, unwanted: wardcast::kmip::codec::Tag) -> Item {
    let value = match item.value {
        Value::Structure(items) => {
            let kept = items.into_iter().filter(|item| item.tag != unwanted);
            Value::Structure(kept.map(|item| without(item, unwanted)).collect())
        }
        value => value,
    };
    Item::new(item.tag, value)
}

fn structure(item: Item) -> Structure {
    match item.value {
        Value::Structure(items) => Structure::new(item.tag).items(items),
        _ => panic!("a structure"),
    }
}
