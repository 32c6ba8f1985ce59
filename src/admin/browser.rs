//! The page for browsers, and which requests of browsers are taken.
//!
//! An operator's browser holds his certificate and would show it for any page's requests. So a browser may look, from the page of
//! this interface or because its user typed the address, and nothing else: what other sites ask is refused, and so is whatever
//! changes something. Browsers tell the two apart by `Sec-Fetch-Site` (Fetch Metadata, W3C), which pages cannot set; one that does
//! not send it sends an `Origin` for what could do harm.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method};
use axum::response::IntoResponse;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// Everything in one file: it asks for nothing but `/v1/overview`.
const PAGE: &str = include_str!("page.html");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Names the page's own script and style by their digests (Content Security Policy 3): nothing else is executed, whatever a group or
/// a member calls itself.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        digest("script"),
        digest("style"),
    )
});

/// The digest of what stands in the page's one element of this name.
fn digest(element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let inner = PAGE
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close));
    // Without one the digest is of nothing, and permits nothing.
    let inner = inner.map_or("", |(inner, _)| inner);
    format!("sha256-{}", BASE64.encode(&Sha256::digest(inner)))
}

/// The page.
pub(super) async fn page() -> impl IntoResponse {
    // Digests and what stands around them are visible ASCII.
    let policy =
        HeaderValue::from_str(&POLICY).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let fixed = HeaderValue::from_static;
    let headers = [
        (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (REFERRER_POLICY, fixed("no-referrer")),
        (CACHE_CONTROL, fixed("no-store")),
        (OPENER_POLICY, fixed("same-origin")),
        (RESOURCE_POLICY, fixed("same-origin")),
    ];
    (headers, PAGE)
}

/// Why a request is not taken that a browser sends; none for what is no browser's, and for one that looks.
pub(super) fn refusal(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(ORIGIN) {
        return Some("requests from web pages are not taken");
    }
    let site = headers.get(FETCH_SITE)?;
    match site.as_bytes() {
        b"same-origin" | b"none" if method.is_safe() => None,
        b"same-origin" | b"none" => {
            Some("browsers may look and change nothing: use wardcast admin")
        }
        _ => Some("requests from other sites are not taken: type the address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_names_nothing_outside() {
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert!(
                !digest(element).contains("47DEQpj8HBSa"),
                "the digest of nothing"
            );
        }
        // The name of a kind of element, which nobody asks for.
        let page = PAGE.replace("http://www.w3.org/2000/svg", "");
        for outside in ["://", " src=", " on", " style=", "innerHTML"] {
            let found = page
                .match_indices(outside)
                .map(|(at, _)| &page[at..page.len().min(at + 20)]);
            // A handler is a word that begins so and stands before an equals sign.
            let handler = |text: &&str| {
                outside != " on"
                    || text
                        .split(' ')
                        .nth(1)
                        .is_some_and(|word| word.contains('='))
            };
            assert_eq!(
                found.filter(handler).collect::<Vec<_>>(),
                [""; 0],
                "{outside}"
            );
        }
        assert!(HeaderValue::from_str(&POLICY).is_ok());
    }

    #[test]
    fn a_browser_may_look_at_its_own_page_alone() {
        let asked = |method: Method, name: HeaderName, value: &'static str| {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            refusal(&method, &headers).is_none()
        };
        assert!(
            refusal(&Method::POST, &HeaderMap::new()).is_none(),
            "no browser"
        );
        for (site, taken) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("novel", false),
        ] {
            assert_eq!(asked(Method::GET, FETCH_SITE, site), taken, "{site}");
            assert!(!asked(Method::POST, FETCH_SITE, site), "{site}");
        }
        assert!(!asked(Method::GET, ORIGIN, "null"));
    }
}
