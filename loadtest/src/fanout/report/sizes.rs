//! The runs with several numbers of members, side by side.

use serde::{Serialize, Serializer};

use super::Fanout;
use crate::report::Report;

/// The results, in the order that they were asked for. One alone is shown as it is.
#[derive(Debug)]
pub(crate) struct Sizes(pub(in crate::fanout) Vec<Fanout>);

#[derive(Serialize)]
struct Several<'a> {
    scenario: &'static str,
    ok: bool,
    sizes: &'a [Fanout],
}

impl Serialize for Sizes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            sizes => Several {
                scenario: "fanout",
                ok: sizes.iter().all(|size| size.ok),
                sizes,
            }
            .serialize(serializer),
        }
    }
}

impl Report for Sizes {
    fn rows(&self) -> Vec<(String, String)> {
        match &self.0[..] {
            [one] => one.rows(),
            sizes => {
                let line = |size: &Fanout| {
                    let Fanout { size, summary, .. } = size;
                    let share = size.real as f64 * 100.0 / size.members.max(1) as f64;
                    let name = format!("{} members, {share:.0} % real", size.members);
                    (name, summary.line())
                };
                sizes.iter().map(line).collect()
            }
        }
    }
}
