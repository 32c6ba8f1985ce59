//! An identity provider as small as it gets: it publishes its keys over HTTPS, and signs what a test has it claim.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::crypto::aws_lc_rs::default_provider;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wardcast::pki::{Authority, Request};

pub(crate) const ISSUER: &str = "https://login.test";
pub(crate) const AUDIENCE: &str = "wardcast-test";

/// What its server says to whoever asks for the keys.
#[derive(Clone)]
pub(crate) enum Answer {
    Keys(Vec<Value>),
    /// Anything with status 200.
    Text(Vec<u8>),
    /// No answer: the connection ends.
    Nothing,
}

/// A provider. It ends with the test's runtime.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

/// A key of a provider.
pub(crate) struct Key {
    id: String,
    private: EncodingKey,
    /// As it is published.
    pub(crate) public: Value,
}

impl Key {
    pub(crate) fn new(id: &str) -> Self {
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref()).expect("a key");
        let point = pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL_NOPAD.encode(half));
        Self {
            id: id.to_owned(),
            private: EncodingKey::from_ec_der(pkcs8.as_ref()),
            public: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256"}),
        }
    }

    /// A token with these claims instead of, or besides, good ones.
    pub(crate) fn token(&self, claims: Value) -> String {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::ES256)
        };
        self.token_with(&header, claims)
    }

    pub(crate) fn token_with(&self, header: &Header, claims: Value) -> String {
        let mut all = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": now() + 600});
        let (Some(good), Value::Object(changes)) = (all.as_object_mut(), claims) else {
            panic!("claims are an object")
        };
        good.extend(changes);
        good.retain(|_, value| !value.is_null());
        jsonwebtoken::encode(header, &all, &self.private).expect("a token")
    }
}

/// In seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

impl Issuer {
    /// Its server has a certificate of the authority.
    pub(crate) async fn start(authority: &Authority, keys: &[&Key]) -> Self {
        let issued = authority.issue(&Request::server("issuer").host("127.0.0.1"));
        let issued = issued.expect("a certificate");
        let tls = rustls::ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(issued.chain(), issued.key())
            .expect("a TLS configuration");
        let tls = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = Self {
            address: listener.local_addr().expect("an address"),
            answer: Arc::new(Mutex::new(Answer::Nothing)),
            asked: Arc::default(),
        };
        issuer.publish(keys);
        let (answer, asked) = (issuer.answer.clone(), issuer.asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.lock().expect("no panic").clone();
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(tls.clone(), stream, answer));
            }
        });
        issuer
    }

    /// From now on these are its keys.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| key.public.clone()).collect();
        self.answer(Answer::Keys(keys));
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().expect("no panic") = answer;
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    /// How often somebody connected.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(tls: TlsAcceptor, stream: TcpStream, answer: Answer) {
    let body = match answer {
        Answer::Keys(keys) => json!({ "keys": keys }).to_string().into_bytes(),
        Answer::Text(text) => text,
        Answer::Nothing => return,
    };
    // A client may go away at any time.
    let Ok(mut stream) = tls.accept(stream).await else {
        return;
    };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    let _ = stream.shutdown().await;
}
