//! The page on the admin listener, in a real browser.

use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site};
use crate::{overview, until};

/// A group may be called anything.
const HOSTILE: &str = "<img src=x onerror=\"document.title='hacked'\">";

/// A gateway where something goes on.
async fn site() -> (Site, Vec<Member>) {
    let site = Site::start(Setup::default()).await;
    for name in [GROUP, "arena north", HOSTILE, "newsroom/evening"] {
        site.create(name, json!({})).await;
    }
    let ledger = Ledger::default();
    let mut members = Vec::new();
    for name in ["anna", "bert", "cleo", "dora"] {
        members.push(Member::join(&site, name, &ledger).await);
    }
    for _ in 0..3 {
        site.rotate(GROUP).await;
        let epoch = site.group(GROUP).await.epoch;
        for member in &members {
            member.holds(epoch).await;
        }
    }
    until("all are known to hold it", async || {
        site.group(GROUP).await.acknowledged == 4
    })
    .await;
    (site, members)
}

/// What the page says of the gateway, against what the gateway says of itself.
async fn agrees(browser: &Browser, view: &Value) -> bool {
    let counts = &view["members"];
    let shown = [
        ("groups", view["groups"].to_string()),
        ("members", counts["members"].to_string()),
        ("present", format!("{} present", counts["present"])),
        ("behind", counts["behind"].to_string()),
        (
            "token",
            view["token"]["state"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ),
        ("upstream", "none".to_owned()),
        ("audit", "writable".to_owned()),
    ];
    for (id, expected) in shown {
        if browser.text(id).await != expected {
            return false;
        }
    }
    let groups = view["busiest"].as_array().expect("a list").iter();
    let wanted: Vec<Vec<String>> = groups
        .map(|group| {
            let numbers = [
                "members", "present", "behind", "rekeys", "joins", "epoch", "active",
            ];
            let numbers = numbers.map(|name| group[name].to_string());
            [
                vec![group["name"].as_str().expect("text").to_owned()],
                numbers.into(),
            ]
            .concat()
        })
        .collect();
    browser.rows("group-rows").await == wanted
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_gateway_says_and_asks_nobody_else() {
    let (site, members) = site().await;
    let browser = Browser::start(&site).await;
    let own = format!("https://localhost:{}/", site.admin_port());
    browser.looks((1_280, 900), "light").await;
    browser.open(&own).await;
    until("the page is ready", async || {
        browser.text("state").await == "ready"
    })
    .await;
    until("the page agrees with the gateway", async || {
        agrees(&browser, &overview(&site).await).await
    })
    .await;
    let half = browser.text("half").await;
    assert!(half.ends_with(" ms") || half.ends_with(" s"), "{half}");
    assert_eq!(browser.script("return document.title").await, "Wardcast");

    // Whoever looks for a group types its name.
    let type_name = "const f = document.getElementById('filter'); f.value = 'ARENA'; f.dispatchEvent(new Event('input'));";
    browser.script(type_name).await;
    let rows = browser.rows("group-rows").await;
    assert_eq!((rows.len(), rows[0][0].as_str()), (1, "arena north"));
    browser.script(&type_name.replace("ARENA", "")).await;

    browser.picture("page").await;
    browser.looks((1_280, 900), "dark").await;
    browser.picture("page-dark").await;
    browser.looks((360, 740), "light").await;
    let width = "return [document.documentElement.scrollWidth, window.innerWidth]";
    assert_eq!(
        browser.script(width).await,
        json!([360, 360]),
        "no part is out of sight"
    );
    browser.picture("page-phone").await;

    let mut requests = Vec::new();
    until("it asks again", async || {
        requests.extend(browser.requests().await);
        requests
            .iter()
            .filter(|url| url.ends_with("/v1/overview"))
            .count()
            >= 2
    })
    .await;
    let foreign: Vec<&String> = requests
        .iter()
        .filter(|url| **url != own && **url != format!("{own}v1/overview") && *url != "data:,")
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let complaints = browser.logged("browser").await;
    assert!(complaints.is_empty(), "{complaints:#?}");

    // Through the page itself nothing can be changed, though the browser shows the operator's certificate.
    let freeze = format!(
        "fetch('/v1/groups/{GROUP}/freeze', {{ method: 'POST' }}).then((answer) => answer.status)"
    );
    assert_eq!(browser.promise(&freeze).await, 403);
    assert_eq!(site.group(GROUP).await.frozen, None);
    browser.close().await;
    drop(members);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_when_the_gateway_is_away_and_comes_back() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let browser = Browser::start(&site).await;
    browser.looks((360, 740), "dark").await;
    browser
        .open(&format!("https://localhost:{}/", site.admin_port()))
        .await;
    until("the page is ready", async || {
        browser.text("state").await == "ready"
    })
    .await;
    site.kill();
    until("it says that the gateway is away", async || {
        browser.text("state").await == "gateway away"
    })
    .await;
    until("it says how old it is", async || {
        browser.text("age").await.starts_with("as of ")
    })
    .await;
    let shown = browser
        .script("return !document.getElementById('notice').hidden")
        .await;
    assert_eq!(shown, true);
    assert_eq!(browser.text("groups").await, "1", "what was known stays");
    browser.picture("page-away").await;
    site.restart().await;
    until("it is back", async || {
        browser.text("state").await == "ready"
    })
    .await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_on_another_page_gets_nothing() {
    let site = Site::start(Setup::default()).await;
    let browser = Browser::start(&site).await;
    let own = format!("https://localhost:{}/", site.admin_port());
    for script in [
        format!("location.href='{own}v1/overview'"),
        format!("location.href='{own}'"),
    ] {
        // A page of nobody's origin: it has the browser go to the gateway, which shows the certificate there.
        browser
            .open(&format!(
                "data:text/html,<p>elsewhere</p><script>{script}</script>"
            ))
            .await;
        until("the gateway refuses", async || {
            let text = browser.script("return document.body.innerText").await;
            text.as_str()
                .is_some_and(|text| text.contains("requests from other sites are not taken"))
        })
        .await;
    }
    browser.open("data:text/html,<p>elsewhere</p>").await;
    let fetch = format!("fetch('{own}v1/overview').then((answer) => answer.text())");
    let text = browser.promise(&fetch).await;
    assert!(
        text.as_str()
            .is_some_and(|text| text.contains("Failed to fetch")),
        "{text}"
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_only_for_operators_and_forbids_what_it_does_not_need() {
    let site = Site::start(Setup::default()).await;
    let (status, _) = site
        .try_root(Method::GET, "", None)
        .await
        .expect("an answer");
    assert_eq!(status, 200);
    let url = format!("https://localhost:{}/", site.admin_port());
    let ask = |name: &str| {
        let arguments = site.certificate_arguments(name);
        let files = arguments.iter().skip(1).step_by(2);
        let mut command = std::process::Command::new("curl");
        for (word, file) in ["--cacert", "--cert", "--key"].iter().zip(files) {
            command.arg(word).arg(file);
        }
        let output = command.args(["--silent", "--include", &url]).output();
        let text = String::from_utf8(output.expect("curl runs").stdout);
        text.expect("text").to_lowercase()
    };
    assert!(ask("anna").starts_with("http/1.1 403"));
    let page = ask("operator");
    let (head, _) = page.split_once("\r\n\r\n").expect("a head");
    for header in [
        "default-src 'none'; script-src 'sha256-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(!head.contains("unsafe"), "{head}");
}
