//! The key that somebody most likely meant.

/// Among all keys, the one closest to an unknown one: the same last part elsewhere, or a few letters off.
pub(super) fn closest<'a>(unknown: &str, keys: &'a [String]) -> Option<&'a str> {
    let misplaced = keys.iter().find(|key| last(key) == last(unknown));
    if let Some(key) = misplaced {
        return Some(key);
    }
    let (distance, key) = keys
        .iter()
        .map(|key| {
            (
                distance(unknown, key).min(1 + distance(last(unknown), last(key))),
                key,
            )
        })
        .min()?;
    (distance <= 1 + last(unknown).len() / 3).then_some(key)
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// How many letters to insert, remove or change (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_and_wrong_sections_are_recognised() {
        let keys: Vec<String> = [
            "listen.address",
            "tls.client_ca",
            "policy.default.quorum_percent",
            "log.level",
        ]
        .map(String::from)
        .to_vec();
        let cases = [
            ("listen.adress", Some("listen.address")),
            ("tls.clientca", Some("tls.client_ca")),
            (
                "policy.quorum_percent",
                Some("policy.default.quorum_percent"),
            ),
            ("logs.level", Some("log.level")),
            ("tls.zzzzzz", None),
        ];
        for (unknown, expected) in cases {
            assert_eq!(closest(unknown, &keys), expected, "{unknown}");
        }
    }
}
