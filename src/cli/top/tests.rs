//! What is drawn, cell by cell, without a terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::draw::{Colours, draw};
use super::plain;
use super::screen::{Key, Screen, Sort};
use crate::admin::api::OverviewView;

fn group(name: &str, members: u64, behind: u64, rekeys: u32) -> Value {
    json!({
        "name": name, "epoch": 7, "active": 7, "members": members, "present": members,
        "acknowledged": members - behind, "behind": behind, "rekeys": rekeys, "joins": 0, "frozen": name == "icy",
    })
}

fn overview(groups: &[Value]) -> OverviewView {
    let mut points = vec![Value::Null; 120];
    points[119] = json!({ "acknowledged": 9, "p50_ms": 12, "p99_ms": 345 });
    let view = json!({
        "at": "2026-01-01T00:00:00Z",
        "gateway": { "version": "9.9.9", "uptime_s": 7_300, "ready": { "ready": true }, "shards": [0, 3] },
        "groups": 100_000,
        "members": { "members": 1_000_000, "present": 999_990, "acknowledged": 999_000, "behind": 990 },
        "busiest": groups,
        "latency": { "step_s": 5, "points": points },
        "slowest": [{ "group": "b", "member": 4, "identity": "cn:slow\u{1b}[31m", "acknowledged": 3, "behind": 4, "waited_s": 90 }],
        "token": { "state": "usable", "master": 1, "waiting": { "urgent": 2 }, "tokens": [] },
    });
    serde_json::from_value(view).expect("an overview")
}

fn screen() -> Screen {
    let mut screen = Screen::new("gw:7444");
    screen.tells(overview(&[
        group("a", 5, 0, 9),
        group("b", 500, 30, 3),
        group("icy", 50, 2, 0),
    ]));
    screen
}

fn drawn(screen: &Screen, (width, height): (u16, u16), colours: bool) -> (String, Vec<Color>) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let frame = terminal.draw(|frame| draw(frame, screen, Colours(colours)));
    let buffer = frame.expect("is drawn").buffer.clone();
    let rows = buffer.content().chunks(usize::from(width));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    let colours = buffer.content().iter().map(|cell| cell.fg).collect();
    (rows.collect::<Vec<_>>().join("\n"), colours)
}

#[test]
fn all_that_matters_fits_into_eighty_by_twentyfour_and_there_is_more_in_more() {
    let parts = [
        "wardcast at gw:7444, 9.9.9, up 2 h",
        "ready",
        "groups 100000, members 1000000, present 999990, behind 990",
        "half within 12 ms, 99 of 100 within 345 ms",
        "3 of 100000 groups by activity",
        "icy (frozen)",
        "cn:slow",
        "1 min",
        "q quit",
    ];
    for size in [(80, 24), (132, 50)] {
        let (text, _) = drawn(&screen(), size, true);
        for part in parts {
            assert!(text.contains(part), "{part} at {size:?}:\n{text}");
        }
        assert!(
            !text.contains('\u{1b}'),
            "a name is no command for a terminal"
        );
        assert!(text.contains('█'), "the last rekey has a bar:\n{text}");
    }
    // Nothing that small shows all, and nothing panics.
    for size in [(1, 1), (10, 3), (40, 10)] {
        drawn(&screen(), size, true);
    }
}

#[test]
fn a_gateway_that_is_away_is_told_of_and_what_was_known_stays() {
    let mut screen = screen();
    screen.away = Some("connection refused".to_owned());
    let (text, colours) = drawn(&screen, (80, 24), true);
    assert!(text.contains("gateway away: connection refused"), "{text}");
    assert!(
        text.contains("as of 0 s ago") && text.contains("icy"),
        "{text}"
    );
    assert!(colours.contains(&Color::Red));
    let (_, colours) = drawn(&screen, (80, 24), false);
    assert!(colours.iter().all(|colour| *colour == Color::Reset));
    let mut never = Screen::new("gw:7444");
    assert!(
        drawn(&never, (80, 24), true)
            .0
            .contains("asking the gateway")
    );
    never.away = Some("nobody".to_owned());
    assert!(
        drawn(&never, (80, 24), true)
            .0
            .contains("gateway away: nobody")
    );
}

#[test]
fn keys_sort_filter_scroll_help_and_end() {
    let mut screen = screen();
    let names = |screen: &Screen| -> Vec<String> {
        screen
            .groups()
            .iter()
            .map(|group| group.name.clone())
            .collect()
    };
    assert_eq!(names(&screen), ["a", "b", "icy"]);
    for (sort, order) in [
        (Sort::Behind, ["b", "icy", "a"]),
        (Sort::Members, ["b", "icy", "a"]),
        (Sort::Name, ["a", "b", "icy"]),
        (Sort::Activity, ["a", "b", "icy"]),
    ] {
        screen.press(Key::Letter('s'));
        assert_eq!(
            (screen.sort, names(&screen)),
            (sort, order.map(str::to_owned).into())
        );
    }
    for _ in 0..9 {
        screen.press(Key::Down);
    }
    assert_eq!(screen.scrolled, 2);
    for key in [Key::Letter('/'), Key::Letter('I'), Key::Letter('q')] {
        assert!(!screen.press(key), "a letter of the filter");
    }
    assert!(drawn(&screen, (80, 24), true).0.contains("filter: Iq_"));
    screen.press(Key::Backspace);
    screen.press(Key::Enter);
    assert_eq!(
        (names(&screen), screen.scrolled),
        (vec!["icy".to_owned()], 0)
    );
    screen.press(Key::Escape);
    assert_eq!(names(&screen).len(), 3);
    screen.press(Key::Letter('?'));
    assert!(
        drawn(&screen, (80, 24), true)
            .0
            .contains("sort groups otherwise")
    );
    assert!(screen.press(Key::Letter('q')));
}

#[test]
fn a_snapshot_has_all_of_it_and_no_command_for_a_terminal() {
    let text = plain::text(&overview(&[group("a\u{7}", 5, 0, 9)]));
    for part in [
        "wardcast 9.9.9, up 2 h, ready",
        "token usable, waiting: urgent 2, grant 0",
        "no audit trail; no upstream",
        "cn:slow\u{fffd}[31m",
        "a\u{fffd}",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(
        text.chars()
            .all(|letter| letter == '\n' || !letter.is_control())
    );
}

#[test]
fn groups_are_shown_though_there_are_fewer_than_before() {
    let mut screen = screen();
    screen.press(Key::Down);
    screen.press(Key::Down);
    assert_eq!(screen.scrolled, 2);
    screen.tells(overview(&[group("a", 5, 0, 9)]));
    assert_eq!(screen.scrolled, 0);
}
