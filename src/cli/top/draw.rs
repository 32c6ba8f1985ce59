//! The view in a terminal: from what is to be shown to cells, and nothing else.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Sparkline, SparklineBar, Table};

use super::plain;
use super::screen::{Screen, long};
use crate::admin::api::OverviewView;

/// Whoever shows something older says so.
const OLD_S: u64 = 5;
const HELP: [&str; 8] = [
    "q        quit",
    "s        sort groups otherwise",
    "/        filter groups by name; Enter keeps it",
    "Esc      no filter, no help",
    "Up Down  scroll",
    "?        this help",
    "",
    "A bar is the slowest 1 of 100 in five seconds.",
];

/// What has a colour, where colours are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colours(pub(super) bool);

impl Colours {
    fn of(self, colour: Color) -> Style {
        match self.0 {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, colours: Colours) {
    let [head, chart, groups, slow, keys] = Layout::vertical([
        Constraint::Length(5),
        Constraint::Length(4),
        Constraint::Min(4),
        Constraint::Length(5),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(screen, colours), head);
    if let Some(view) = &screen.overview {
        latency(frame, chart, view, colours);
        group_table(frame, groups, screen, view);
        slowest(frame, slow, view);
    }
    frame.render_widget(footer(screen), keys);
    if screen.help {
        help(frame);
    }
}

fn heading(screen: &Screen, colours: Colours) -> Paragraph<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut first = vec![
        Span::styled("wardcast", bold),
        format!(" at {}", screen.server).into(),
    ];
    let Some(view) = &screen.overview else {
        let says = match &screen.away {
            Some(why) => Line::styled(format!("gateway away: {why}"), colours.of(Color::Red)),
            None => Line::raw("asking the gateway"),
        };
        return Paragraph::new(vec![Line::from(first), says]);
    };
    let gateway = &view.gateway;
    first.push(format!(", {}, up {}", gateway.version, long(gateway.uptime_s)).into());
    let age = screen.age().as_secs();
    if age >= OLD_S || screen.away.is_some() {
        first.push(Span::styled(
            format!(", as of {} ago", long(age)),
            colours.of(Color::Yellow),
        ));
    }
    let state = match (&screen.away, gateway.ready.ready) {
        (Some(why), _) => Line::styled(format!("gateway away: {why}"), colours.of(Color::Red)),
        (None, true) => Line::styled(plain::ready(view), colours.of(Color::Green)),
        (None, false) => Line::styled(plain::ready(view), colours.of(Color::Red)),
    };
    Paragraph::new(vec![
        Line::from(first),
        state,
        Line::raw(plain::members(view)),
        Line::raw(plain::token(view)),
        Line::raw(plain::keeping(view)),
    ])
}

fn latency(frame: &mut Frame<'_>, area: Rect, view: &OverviewView, colours: Colours) {
    let points = &view.latency.points;
    // A column for each, the newest on the right.
    let first = points.len().saturating_sub(usize::from(area.width));
    let bars = points[first..].iter();
    let bars = bars.map(|point| SparklineBar::from(point.map(|point| point.p99_ms)));
    let bars: Vec<SparklineBar> = bars.collect();
    let block = Block::new()
        .borders(Borders::TOP)
        .title(plain::latency(view));
    let sparkline = Sparkline::default()
        .block(block)
        .data(bars)
        .absent_value_symbol(" ");
    frame.render_widget(sparkline.style(colours.of(Color::Cyan)), area);
}

fn group_table(frame: &mut Frame<'_>, area: Rect, screen: &Screen, view: &OverviewView) {
    let groups = screen.groups();
    let rows = groups.iter().skip(screen.scrolled).map(|group| {
        let (counts, frozen) = (group.counts, if group.frozen { " (frozen)" } else { "" });
        Row::new([
            format!("{}{frozen}", group.name),
            format!("{:>8}", counts.members),
            format!("{:>8}", counts.present),
            format!("{:>7}", counts.behind),
            format!("{:>10}", group.rekeys),
            format!("{:>9}", group.joins),
            format!("{:>9}", group.epoch.0),
        ])
    });
    let shown = groups.len();
    let filter = match screen.filter.as_str() {
        "" => String::new(),
        filter => format!(", named *{filter}*"),
    };
    let title = format!(
        "{shown} of {} groups by {}{filter}",
        view.groups,
        screen.sort.name()
    );
    let header = [
        "group",
        " members",
        " present",
        " behind",
        "rekeys/min",
        "joins/min",
        "    epoch",
    ];
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(header).style(Style::new().add_modifier(Modifier::BOLD)))
        .block(Block::new().borders(Borders::TOP).title(title));
    frame.render_widget(table, area);
}

fn slowest(frame: &mut Frame<'_>, area: Rect, view: &OverviewView) {
    let block = Block::new().borders(Borders::TOP).title("slowest members");
    if view.slowest.is_empty() {
        let nobody = "nobody who is present lacks the newest epoch";
        frame.render_widget(Paragraph::new(nobody).block(block), area);
        return;
    }
    let rows = view.slowest.iter().map(|slow| {
        Row::new([
            format!("{} ({})", slow.identity, slow.member),
            slow.group.clone(),
            format!("{:>6}", slow.behind),
            format!("{:>7}", long(slow.waited_s)),
        ])
    });
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(6),
        Constraint::Length(7),
    ];
    let header = Row::new(["member", "group", "behind", " waited"]);
    let header = header.style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(header).block(block), area);
}

fn footer(screen: &Screen) -> Paragraph<'static> {
    let text = match screen.typing {
        true => format!("filter: {}_  Enter keeps it, Esc drops it", screen.filter),
        false => "q quit  s sort  / filter  arrows scroll  ? help".to_owned(),
    };
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED))
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (52.min(area.width), (HELP.len() as u16 + 2).min(area.height));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<Line> = HELP.into_iter().map(Line::raw).collect();
    let help = Paragraph::new(lines).block(Block::bordered().title("keys"));
    frame.render_widget(Clear, place);
    frame.render_widget(help, place);
}
