//! Identity patterns: `*` within a segment, `**` across segments.
//!
//! All ways in which a pattern may go on are followed at once, so the time is bounded by pattern length times
//! identity length, whatever the two are: no input makes it backtrack.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// `*`: any bytes but the separator.
    Within,
    /// `**`: any bytes.
    Across,
}

/// Whether the pattern matches the whole identity.
pub(super) fn matches(pattern: &str, identity: &str) -> bool {
    let parts = parse(pattern);
    // One more state than parts: the last means that the pattern is used up.
    let mut alive = vec![false; parts.len() + 1];
    alive[0] = true;
    pass_wildcards(&parts, &mut alive);
    let separator = separator(identity);
    let ignore_case = identity.starts_with("dns:");
    let mut next = vec![false; alive.len()];
    for byte in identity.bytes() {
        next.fill(false);
        for (state, part) in parts.iter().enumerate().filter(|(state, _)| alive[*state]) {
            match part {
                Part::Byte(expected) if *expected == byte => next[state + 1] = true,
                Part::Byte(expected) if ignore_case && expected.eq_ignore_ascii_case(&byte) => {
                    next[state + 1] = true;
                }
                Part::Within if Some(byte) != separator => next[state] = true,
                Part::Across => next[state] = true,
                Part::Byte(_) | Part::Within => {}
            }
        }
        pass_wildcards(&parts, &mut next);
        std::mem::swap(&mut alive, &mut next);
        if !alive.contains(&true) {
            return false;
        }
    }
    alive[parts.len()]
}

/// A wildcard may match nothing.
fn pass_wildcards(parts: &[Part], alive: &mut [bool]) {
    for (state, part) in parts.iter().enumerate() {
        if alive[state] && !matches!(part, Part::Byte(_)) {
            alive[state + 1] = true;
        }
    }
}

/// What separates the segments of this kind of identity; a common name is one segment.
fn separator(identity: &str) -> Option<u8> {
    if identity.starts_with("spiffe://") {
        Some(b'/')
    } else if identity.starts_with("dns:") {
        Some(b'.')
    } else {
        None
    }
}

fn parse(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::with_capacity(pattern.len());
    for byte in pattern.bytes() {
        match (byte, parts.last()) {
            (b'*', Some(Part::Within)) => {
                parts.pop();
                parts.push(Part::Across);
            }
            (b'*', Some(Part::Across)) => {}
            (b'*', _) => parts.push(Part::Within),
            (byte, _) => parts.push(Part::Byte(byte)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        let yes = [
            ("**", "cn:anyone at all"),
            ("cn:anna", "cn:anna"),
            ("cn:*", "cn:Anna B. (ops)"),
            ("dns:*.example.org", "dns:a.example.org"),
            ("dns:*.Example.org", "dns:a.eXample.org"),
            ("dns:**.example.org", "dns:a.b.example.org"),
            ("spiffe://a/*/x", "spiffe://a/b/x"),
            ("spiffe://a/**/x", "spiffe://a/b/c/x"),
            ("spiffe://a/**", "spiffe://a/b/c"),
            ("spiffe://*/room/r*-*", "spiffe://a.b/room/r1-anna"),
            ("spiffe://a/**/b*c/**", "spiffe://a/x/bc/bxc/y"),
            ("cn:ü*", "cn:über"),
        ];
        for (pattern, identity) in yes {
            assert!(matches(pattern, identity), "{pattern} {identity}");
        }
        let no = [
            ("cn:anna", "cn:anna2"),
            ("cn:anna", "cn:ann"),
            ("cn:anna", "cn:Anna"),
            ("cn:*", "dns:anna"),
            ("dns:*.example.org", "dns:a.b.example.org"),
            ("dns:*.example.org", "dns:example.org"),
            ("dns:*.example.org", "dns:a.example.org.evil"),
            ("spiffe://a/*", "spiffe://a/b/c"),
            ("spiffe://a/**", "spiffe://ab/c"),
            ("spiffe://a/b", "spiffe://a/B"),
            ("spiffe://*", "spiffe://a/b"),
            ("", "cn:x"),
        ];
        for (pattern, identity) in no {
            assert!(!matches(pattern, identity), "{pattern} {identity}");
        }
    }

    #[test]
    fn a_hostile_pair_takes_bounded_time() {
        let pattern = format!("spiffe://{}", "**a*".repeat(125));
        let identity = format!("spiffe://{}b", "a".repeat(2_000));
        let began = std::time::Instant::now();
        assert!(!matches(&format!("{pattern}c"), &identity));
        // About two million steps; a matcher that backtracks would not end at all.
        assert!(began.elapsed().as_secs() < 5);
    }
}
