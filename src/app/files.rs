//! Files that the configuration names and that may be read anew: which of them are others by now.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::Config;

/// What is in each file, by the key that names it; nothing if it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<String, Option<[u8; 32]>>);

impl Files {
    /// As they are now.
    pub(super) fn of(config: &Config) -> Self {
        let mut files = Self::of_certificates(config);
        let others = [
            ("policy.rules", &config.policy.rules),
            ("jwt.ca", &config.jwt.ca),
            ("ldap.ca", &config.ldap.ca),
            ("ldap.password_file", &config.ldap.password_file),
        ];
        let named = others
            .into_iter()
            .filter(|(_, path)| !path.as_os_str().is_empty());
        files
            .0
            .extend(named.map(|(key, path)| (key.to_owned(), digest(path))));
        files
    }

    /// Those alone that are about TLS.
    pub(super) fn of_certificates(config: &Config) -> Self {
        let tls = &config.tls;
        let files = [
            ("tls.certificate", &tls.certificate),
            ("tls.key", &tls.key),
            ("tls.client_ca", &tls.client_ca),
        ];
        let files = files.map(|(key, path)| (key.to_owned(), digest(path)));
        let lists = tls.crl.iter().enumerate();
        let lists = lists.map(|(index, path)| (format!("tls.crl[{index}]"), digest(path)));
        Self(files.into_iter().chain(lists).collect())
    }

    /// The keys of those that are others here than they were.
    pub(super) fn changed(&self, before: &Self) -> Vec<String> {
        let all = self.0.iter();
        let changed = all.filter(|(key, digest)| before.0.get(*key) != Some(*digest));
        changed.map(|(key, _)| key.clone()).collect()
    }

    /// They were read as they are here.
    pub(super) fn take(&mut self, read: Self) {
        self.0.extend(read.0);
    }
}

/// Of what it holds, which may be a key.
fn digest(path: &Path) -> Option<[u8; 32]> {
    let content = Zeroizing::new(std::fs::read(path).ok()?);
    Some(Sha256::digest(&*content).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_file_counts_and_not_when_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        let path = |name: &str| folder.path().join(name);
        for (name, at) in [
            ("a", &mut config.tls.certificate),
            ("b", &mut config.tls.key),
        ] {
            std::fs::write(path(name), name).expect("written");
            *at = path(name);
        }
        config.tls.crl = vec![path("c")];
        let before = Files::of_certificates(&config);
        std::fs::write(path("a"), "a").expect("written");
        assert!(Files::of(&config).changed(&before).is_empty());
        std::fs::write(path("a"), "other").expect("written");
        std::fs::write(path("c"), "new").expect("written");
        let now = Files::of_certificates(&config);
        assert_eq!(now.changed(&before), ["tls.certificate", "tls.crl[0]"]);
        let mut taken = before;
        taken.take(now.clone());
        assert!(now.changed(&taken).is_empty());
    }
}
