//! Files that the configuration names and that may be read anew: which of them are others by now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{Config, Siem};

/// What is in each file, by the key that names it; nothing if it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<String, Option<[u8; 32]>>);

impl Files {
    /// As they are now.
    pub(super) fn of(config: &Config) -> Self {
        let mut files = Self::of_credentials(config);
        files.read([("policy.rules", &config.policy.rules)]);
        files
    }

    /// Those alone that say who the gateway is and who others are: certificates, keys, authorities, revocation lists, tokens.
    pub(super) fn of_credentials(config: &Config) -> Self {
        let (jwt, ldap, upstream) = (&config.jwt, &config.ldap, &config.upstream);
        let mut files = Self::of_tls(config);
        if !jwt.issuer.is_empty() {
            files.read([("jwt.ca", &jwt.ca)]);
        }
        if !ldap.addresses.is_empty() {
            files.read([
                ("ldap.ca", &ldap.ca),
                ("ldap.password_file", &ldap.password_file),
            ]);
        }
        if !upstream.addresses.is_empty() {
            files.read([
                ("upstream.certificate", &upstream.certificate),
                ("upstream.key", &upstream.key),
                ("upstream.ca", &upstream.ca),
            ]);
        }
        files.read_of_siem(&config.siem);
        files
    }

    /// Those of `[tls]`: who the gateway is to those who call it, and who they are.
    pub(super) fn of_tls(config: &Config) -> Self {
        let tls = &config.tls;
        let lists = tls.crl.iter().enumerate();
        let lists = lists.map(|(index, path)| (format!("tls.crl[{index}]"), digest(path)));
        let mut files = Self(lists.collect());
        files.read([
            ("tls.certificate", &tls.certificate),
            ("tls.key", &tls.key),
            ("tls.client_ca", &tls.client_ca),
        ]);
        files
    }

    fn read_of_siem(&mut self, siem: &Siem) {
        let Siem {
            identifier_key_file,
            syslog,
            ocsf,
            splunk,
        } = siem;
        self.read([("siem.identifier_key_file", identifier_key_file)]);
        if !syslog.address.is_empty() {
            self.read([
                ("siem.syslog.ca", &syslog.ca),
                ("siem.syslog.certificate", &syslog.certificate),
                ("siem.syslog.key", &syslog.key),
            ]);
        }
        if !ocsf.url.is_empty() {
            self.read([
                ("siem.ocsf.ca", &ocsf.ca),
                ("siem.ocsf.certificate", &ocsf.certificate),
                ("siem.ocsf.key", &ocsf.key),
                ("siem.ocsf.token_file", &ocsf.token_file),
            ]);
        }
        if !splunk.url.is_empty() {
            self.read([
                ("siem.splunk.ca", &splunk.ca),
                ("siem.splunk.token_file", &splunk.token_file),
            ]);
        }
    }

    /// Those that are read as the gateway starts, and not again.
    pub(super) fn of_start(config: &Config) -> Self {
        let mut files = Self::default();
        if !config.trace.endpoint.is_empty() {
            files.read([("trace.ca", &config.trace.ca)]);
        }
        files
    }

    fn read<const COUNT: usize>(&mut self, named: [(&str, &PathBuf); COUNT]) {
        let named = named.into_iter();
        let named = named.filter(|(_, path)| !path.as_os_str().is_empty());
        self.0
            .extend(named.map(|(key, path)| (key.to_owned(), digest(path))));
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
        let before = Files::of_credentials(&config);
        std::fs::write(path("a"), "a").expect("written");
        assert!(Files::of(&config).changed(&before).is_empty());
        std::fs::write(path("a"), "other").expect("written");
        std::fs::write(path("c"), "new").expect("written");
        let now = Files::of_credentials(&config);
        assert_eq!(now.changed(&before), ["tls.certificate", "tls.crl[0]"]);
        let mut taken = before;
        taken.take(now.clone());
        assert!(now.changed(&taken).is_empty());
    }
}
