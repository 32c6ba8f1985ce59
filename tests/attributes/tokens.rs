//! Bearer tokens: each is refused for its own reason, and the issuer's keys are fetched when they have to be, and no more often.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use wardcast::attributes::jwt::{MAX_TOKEN, Options, Refused, SetupError, Tokens};
use wardcast::pki::Authority;
use wardcast::tls::Trust;

use super::issuer::{AUDIENCE, Answer, ISSUER, Issuer, Key, now};

/// Nothing that a test waits for takes longer.
const SOON: Duration = Duration::from_secs(60);
/// For so long keys serve that cannot be fetched anew: a busy machine must not take longer to ask for them.
const STALE: Duration = Duration::from_secs(12);

struct Site {
    authority: Authority,
    issuer: Issuer,
    key: Key,
}

impl Site {
    async fn start() -> Self {
        let authority = Authority::new("test").expect("an authority");
        let key = Key::new("first");
        let issuer = Issuer::start(&authority, &[&key]).await;
        Self {
            authority,
            issuer,
            key,
        }
    }

    fn tokens(&self, change: impl FnOnce(&mut Options)) -> Tokens {
        self.tokens_trusting(&self.authority, change)
            .expect("they can be checked")
    }

    fn tokens_trusting(
        &self,
        authority: &Authority,
        change: impl FnOnce(&mut Options),
    ) -> Result<Tokens, SetupError> {
        let mut options = Options {
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            jwks: self.issuer.url(),
            leeway: Duration::from_secs(5),
            refresh: Duration::from_secs(600),
            stale: Duration::from_secs(3_600),
            claims: vec!["sub".into(), "groups".into()],
        };
        change(&mut options);
        let trust = Trust::new([authority.certificate().clone()], Vec::new()).expect("trust");
        Tokens::new(options, &trust)
    }
}

/// Verifies until the outcome is as it must become.
async fn eventually(tokens: &Tokens, token: &str, is: impl Fn(&Result<(), Refused>) -> bool) {
    let began = Instant::now();
    loop {
        let outcome = tokens.verify(token).await.map(drop);
        if is(&outcome) {
            return;
        }
        assert!(began.elapsed() < SOON, "still {outcome:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_good_token_is_believed() {
    let site = Site::start().await;
    let tokens = site.tokens(|_| ());
    let token = site.key.token(json!({
        "groups": ["crew", "cast"], "exp": now() + 60, "nbf": now() - 1, "aud": ["other", AUDIENCE]
    }));
    let claims = tokens.verify(&token).await.expect("a good token");
    assert_eq!(claims.subject.as_deref(), Some("anna"));
    let groups = BTreeSet::from(["crew".to_owned(), "cast".to_owned()]);
    assert_eq!(claims.attributes["groups"], groups);
    assert_eq!(
        claims.attributes["sub"],
        BTreeSet::from(["anna".to_owned()])
    );
    for _ in 0..10 {
        tokens.verify(&token).await.expect("a good token");
    }
    assert_eq!(site.issuer.asked(), 1, "the keys are kept");
}

#[tokio::test]
async fn each_bad_token_is_refused_for_its_own_reason() {
    let site = Site::start().await;
    let tokens = site.tokens(|_| ());
    let key = &site.key;
    let missing = |claim: &str| Refused::Missing(claim.into());
    let issuer = || Refused::WrongIssuer {
        expected: ISSUER.into(),
    };
    let audience = || Refused::WrongAudience {
        expected: AUDIENCE.into(),
    };
    let cases: [(Value, Refused); 9] = [
        (json!({"exp": now() - 60}), Refused::Expired),
        (json!({"nbf": now() + 60}), Refused::NotYetValid),
        (json!({"aud": "other"}), audience()),
        (json!({"aud": ["other", "another"]}), audience()),
        (json!({"iss": "https://evil.test"}), issuer()),
        (json!({"exp": null}), missing("exp")),
        (json!({"exp": "soon"}), missing("exp")),
        (json!({"aud": null}), missing("aud")),
        (json!({"iss": null}), missing("iss")),
    ];
    for (claims, why) in cases {
        let refused = tokens.verify(&key.token(claims.clone())).await;
        assert_eq!(refused.expect_err("refused"), why, "{claims}");
    }
    // Clocks may differ a little.
    let token = key.token(json!({"exp": now() - 1, "nbf": now() + 1}));
    assert!(tokens.verify(&token).await.is_ok());
    // Another key with the name of the issuer's, and a signature of other claims.
    let forged = Key::new("first").token(json!({}));
    assert_eq!(tokens.verify(&forged).await, Err(Refused::BadSignature));
    let (one, other) = (key.token(json!({})), key.token(json!({"sub": "eve"})));
    let parts = |token: &str| {
        token
            .rsplit_once('.')
            .map(|(left, right)| (left.to_owned(), right.to_owned()))
    };
    let ((message, _), (_, signature)) = parts(&other).zip(parts(&one)).expect("tokens");
    let mixed = format!("{message}.{signature}");
    assert_eq!(tokens.verify(&mixed).await, Err(Refused::BadSignature));
}

#[tokio::test]
async fn algorithms_are_pinned() {
    let site = Site::start().await;
    let tokens = site.tokens(|_| ());
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let claims = encode(&json!({"iss": ISSUER, "aud": AUDIENCE, "exp": now() + 60}).to_string());
    for algorithm in ["none", "None", "", "HS256", "ES256K", "RSA1_5"] {
        let header = encode(&json!({"alg": algorithm, "kid": "first"}).to_string());
        let refused = tokens.verify(&format!("{header}.{claims}.")).await;
        assert_eq!(refused, Err(Refused::Algorithm(algorithm.into())));
    }
    // Signed with the issuer's public key as if that were a secret: the classic.
    let secret = EncodingKey::from_secret(site.key.public.to_string().as_bytes());
    let header = Header {
        kid: Some("first".into()),
        ..Header::new(Algorithm::HS256)
    };
    let forged = jsonwebtoken::encode(&header, &json!({"exp": now() + 60}), &secret);
    let refused = tokens.verify(&forged.expect("a token")).await;
    assert_eq!(refused, Err(Refused::Algorithm("HS256".into())));
    assert_eq!(site.issuer.asked(), 0, "nobody was asked for a key");
    // A key is used with its own algorithm alone.
    let header = encode(&json!({"alg": "RS256", "kid": "first"}).to_string());
    let refused = tokens.verify(&format!("{header}.{claims}.AAAA")).await;
    assert_eq!(refused, Err(Refused::UnknownKey("first".into())));
}

#[tokio::test]
async fn what_is_no_token_is_malformed() {
    let site = Site::start().await;
    let tokens = site.tokens(|_| ());
    let good = site.key.token(json!({}));
    let critical = {
        let mut header = Header::new(Algorithm::ES256);
        header.crit = Some(vec!["b64".into()]);
        site.key.token_with(&header, json!({}))
    };
    let bound = site.key.token(json!({"cnf": {"jkt": "somebody's"}}));
    let bad = [
        String::new(),
        "a.b".into(),
        "....".into(),
        "§.§.§".into(),
        good.replace('.', ".."),
        format!("e30K{good}"),
        format!("{}.x.y", data_encoding::BASE64URL_NOPAD.encode(b"[1]")),
        "x".repeat(MAX_TOKEN + 1),
        critical,
        bound,
    ];
    for token in bad {
        let refused = tokens.verify(&token).await.expect_err("refused");
        assert!(matches!(refused, Refused::Malformed(_)), "{refused:?}");
        assert!(token.len() < 9 || !refused.to_string().contains(&token));
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_and_made_up_ones_do_not_bother_the_issuer() {
    let site = Site::start().await;
    let tokens = site.tokens(|options| options.refresh = Duration::from_secs(1));
    let (old, new) = (site.key.token(json!({})), Key::new("second"));
    tokens.verify(&old).await.expect("a good token");
    site.issuer.publish(&[&new]);
    let token = new.token(json!({}));
    eventually(&tokens, &token, Result::is_ok).await;
    assert_eq!(
        tokens.verify(&old).await.map(drop),
        Err(Refused::UnknownKey("first".into())),
        "what is not published any more is not taken any more"
    );
    let (asked, began) = (site.issuer.asked(), Instant::now());
    for number in 0..200 {
        let made_up = Key::new(&format!("k{number}")).token(json!({}));
        let refused = tokens.verify(&made_up).await.expect_err("refused");
        assert!(matches!(refused, Refused::UnknownKey(_)), "{refused:?}");
    }
    let seconds = began.elapsed().as_secs() as usize;
    assert!(site.issuer.asked() - asked <= seconds + 2);
}

#[tokio::test]
async fn keys_serve_for_a_while_when_the_issuer_is_down_and_then_no_more() {
    let site = Site::start().await;
    let tokens = site.tokens(|options| {
        options.refresh = Duration::from_millis(100);
        options.stale = STALE;
    });
    let token = site.key.token(json!({}));
    let fetched = Instant::now();
    tokens.verify(&token).await.expect("a good token");
    site.issuer.answer(Answer::Nothing);
    let asked = site.issuer.asked();
    while site.issuer.asked() == asked && fetched.elapsed() < STALE / 2 {
        tokens.verify(&token).await.expect("the old keys serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It is named as the reason where it may be: a key that nobody knows may be a new one.
    let refused = tokens.verify(&Key::new("new").token(json!({}))).await;
    assert!(
        matches!(refused, Err(Refused::Unreachable(_))),
        "{refused:?}"
    );
    let unreachable =
        |outcome: &Result<(), Refused>| matches!(outcome, Err(Refused::Unreachable(_)));
    eventually(&tokens, &token, unreachable).await;
    assert!(fetched.elapsed() >= STALE);
    site.issuer.publish(&[&site.key]);
    eventually(&tokens, &token, Result::is_ok).await;
}

#[tokio::test]
async fn a_server_that_is_not_the_issuers_is_not_believed() {
    let site = Site::start().await;
    let stranger = Authority::new("stranger").expect("an authority");
    let tokens = site.tokens_trusting(&stranger, |_| ()).expect("tokens");
    let token = site.key.token(json!({}));
    let Err(Refused::Unreachable(why)) = tokens.verify(&token).await else {
        panic!("nobody vouches for that server")
    };
    assert!(why.contains("UnknownIssuer"), "{why}");
    let plain = site.tokens_trusting(&stranger, |options| {
        options.jwks = options.jwks.replace("https", "http");
    });
    assert!(matches!(plain, Err(SetupError::NotHttps { .. })));
    // Nor is any answer.
    for (answer, why) in [
        (b"<html>".to_vec(), "it is no key set"),
        (vec![b' '; 300_000], "has more than 262144 bytes"),
        (br#"{"keys":[]}"#.to_vec(), "no public key"),
    ] {
        let tokens = site.tokens(|_| ());
        site.issuer.answer(Answer::Text(answer));
        let refused = tokens.verify(&token).await.expect_err("refused");
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
