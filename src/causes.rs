//! What an error says with all that led to it: its own first line often says only that something failed.

use std::error::Error;
use std::iter;

/// Causes that are told: some libraries chain one for each place that they came by.
const MOST: usize = 16;

/// An error and its causes, the outermost first.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let all = iter::successors(Some(error), |error| Error::source(*error));
    let texts: Vec<String> = all.take(MOST).map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        source: Option<Box<Outer>>,
    }

    #[test]
    fn all_causes_are_told_in_order_up_to_a_bound() {
        assert_eq!(chain(&io::Error::other("alone")), "alone");
        let inner = Outer {
            text: "refused",
            source: None,
        };
        let outer = Outer {
            text: "cannot connect",
            source: Some(inner.into()),
        };
        assert_eq!(chain(&outer), "cannot connect: refused");
        let long = (0..100).fold(outer, |inner, _| Outer {
            text: "again",
            source: Some(inner.into()),
        });
        assert_eq!(chain(&long).matches("again").count(), MOST);
    }
}
