//! What is different in another configuration.

use std::collections::BTreeMap;

use toml::Value;

use super::Config;
use super::load::{leaves, table};

/// The keys whose values are others, in order.
pub fn changes(before: &Config, after: &Config) -> Vec<String> {
    let before: BTreeMap<String, Value> = leaves(&table(before)).into_iter().collect();
    let after = leaves(&table(after)).into_iter();
    let changed = after.filter(|(key, value)| before.get(key) != Some(value));
    let mut keys: Vec<String> = changed.map(|(key, _)| key).collect();
    keys.sort();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_keys_that_differ() {
        let before = Config::default();
        let mut after = before.clone();
        assert!(changes(&before, &after).is_empty());
        after.policy.default.quorum_percent = 7;
        after.tls.crl.push("crl.pem".into());
        let expected = ["policy.default.quorum_percent", "tls.crl"];
        assert_eq!(changes(&before, &after), expected);
        assert_eq!(changes(&after, &before), expected);
    }
}
