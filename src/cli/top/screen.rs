//! What is shown and how, without a terminal: what keys change, and which groups are shown in which order.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::admin::api::{ActivityView, OverviewView};

/// What groups are in order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Activity,
    Behind,
    Members,
    Name,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Activity => Self::Behind,
            Self::Behind => Self::Members,
            Self::Members => Self::Name,
            Self::Name => Self::Activity,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Behind => "members behind",
            Self::Members => "members",
            Self::Name => "name",
        }
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
}

/// The longest filter: no group's name is longer.
const MAX_FILTER: usize = 128;

/// All that is shown.
#[derive(Debug)]
pub(super) struct Screen {
    /// The gateway's address, as it was given.
    pub(super) server: String,
    /// What the gateway told last.
    pub(super) overview: Option<OverviewView>,
    heard: Instant,
    /// Why the gateway does not answer.
    pub(super) away: Option<String>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
    /// Groups above the first that is shown.
    pub(super) scrolled: usize,
}

impl Screen {
    pub(super) fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            overview: None,
            heard: Instant::now(),
            away: None,
            sort: Sort::Activity,
            filter: String::new(),
            typing: false,
            help: false,
            scrolled: 0,
        }
    }

    /// The gateway told this.
    pub(super) fn tells(&mut self, overview: OverviewView) {
        self.overview = Some(overview);
        self.heard = Instant::now();
        self.away = None;
        // There may be fewer groups than before.
        self.scrolled = self.scrolled.min(self.last());
    }

    /// As far as it can be scrolled.
    fn last(&self) -> usize {
        self.groups().len().saturating_sub(1)
    }

    /// How old what is shown is.
    pub(super) fn age(&self) -> Duration {
        self.heard.elapsed()
    }

    /// A key was pressed; whether the user wants to end.
    pub(super) fn press(&mut self, key: Key) -> bool {
        if self.typing {
            self.type_filter(key);
            return false;
        }
        match key {
            Key::Letter('q') => return true,
            Key::Letter('?' | 'h') => self.help = !self.help,
            Key::Letter('s') => {
                self.sort = self.sort.next();
                self.scrolled = 0;
            }
            Key::Letter('/') => self.typing = true,
            Key::Escape => {
                self.help = false;
                self.filter.clear();
                self.scrolled = 0;
            }
            Key::Up | Key::Letter('k') => self.scrolled = self.scrolled.saturating_sub(1),
            Key::Down | Key::Letter('j') => self.scrolled = (self.scrolled + 1).min(self.last()),
            Key::Letter(_) | Key::Enter | Key::Backspace => {}
        }
        false
    }

    fn type_filter(&mut self, key: Key) {
        self.scrolled = 0;
        match key {
            Key::Letter(letter) if self.filter.len() + letter.len_utf8() <= MAX_FILTER => {
                self.filter.push(letter);
            }
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.filter.clear();
                self.typing = false;
            }
            Key::Letter(_) | Key::Up | Key::Down => {}
        }
    }

    /// The groups whose name has the filter in it, in order.
    pub(super) fn groups(&self) -> Vec<&ActivityView> {
        let all = self.overview.iter().flat_map(|overview| &overview.busiest);
        let wanted = self.filter.to_lowercase();
        let named = all.filter(|group| group.name.to_lowercase().contains(&wanted));
        let mut groups: Vec<&ActivityView> = named.collect();
        groups.sort_by_key(|group| {
            let number = match self.sort {
                Sort::Activity => u64::from(group.rekeys) + u64::from(group.joins),
                Sort::Behind => group.counts.behind,
                Sort::Members => group.counts.members,
                Sort::Name => 0,
            };
            (Reverse(number), &group.name)
        });
        groups
    }
}

/// Seconds as people say them.
pub(super) fn long(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Bytes as people say them.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}
