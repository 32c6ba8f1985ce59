//! One connection to a directory, on which all questions go at a time; made anew when it is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions};
use tokio::sync::Mutex;

use super::{Bind, Options};
use crate::attributes::{MAX_VALUE, MAX_VALUES, Values};

/// Two entries are as good as many: one is wanted.
const ENTRIES: i32 = 2;
/// The result code of a search that found more than that (RFC 4511 section 4.1.9: sizeLimitExceeded).
const MORE: u32 = 4;
/// The name that an entry's own name is kept by.
const DN: &str = "dn";

pub(super) struct Connection {
    options: Options,
    tls: Arc<rustls::ClientConfig>,
    open: Mutex<Option<Ldap>>,
}

impl Connection {
    pub(super) fn new(options: Options, tls: rustls::ClientConfig) -> Self {
        Self {
            options,
            tls: Arc::new(tls),
            open: Mutex::default(),
        }
    }

    /// The entries that a filter finds, of more than one any two.
    pub(super) async fn search(&self, filter: &str) -> Result<Vec<Values>, Trouble> {
        let (ldap, used) = self.connected().await?;
        let found = self.search_on(ldap, filter).await;
        match found {
            // A connection that was open before may have been closed at the other end: once more, on a new one.
            Err(Trouble::Connection(_)) if used => {
                self.forget().await;
                let (ldap, _) = self.connected().await?;
                self.search_on(ldap, filter).await
            }
            found => found,
        }
    }

    /// Does not use the connection any more.
    pub(super) async fn forget(&self) {
        *self.open.lock().await = None;
    }

    /// A connection, and whether it has been used before.
    async fn connected(&self) -> Result<(Ldap, bool), Trouble> {
        let mut open = self.open.lock().await;
        if let Some(ldap) = open.as_mut()
            && !ldap.is_closed()
        {
            return Ok((ldap.clone(), true));
        }
        let mut why = String::new();
        for address in &self.options.addresses {
            match self.connect(address).await {
                Ok(ldap) => {
                    *open = Some(ldap.clone());
                    return Ok((ldap, false));
                }
                Err(error) => {
                    let separator = if why.is_empty() { "" } else { "; " };
                    why = format!("{why}{separator}{address}: {error}");
                }
            }
        }
        Err(Trouble::Connection(why))
    }

    async fn connect(&self, address: &str) -> Result<Ldap, LdapError> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(self.attempt())
            .set_starttls(address.starts_with("ldap://"))
            .set_config(self.tls.clone());
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, address).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "the connection to the directory is over");
            }
        });
        ldap.with_timeout(self.attempt());
        let bound = match &self.options.bind {
            Bind::Simple(name, password) => ldap.simple_bind(name, password.expose()).await?,
            Bind::External => ldap.sasl_external_bind().await?,
        };
        bound.success()?;
        Ok(ldap)
    }

    /// A connection takes a part of the time alone, so that the next address has its turn.
    fn attempt(&self) -> Duration {
        let addresses = u32::try_from(self.options.addresses.len()).unwrap_or(u32::MAX);
        self.options.times.deadline * 4 / 5 / addresses.max(2)
    }

    async fn search_on(&self, mut ldap: Ldap, filter: &str) -> Result<Vec<Values>, Trouble> {
        let Options {
            base, attributes, ..
        } = &self.options;
        let seconds = self.options.times.deadline.as_secs().max(1);
        let limits = SearchOptions::new()
            .sizelimit(ENTRIES)
            .timelimit(i32::try_from(seconds).unwrap_or(i32::MAX));
        ldap.with_search_options(limits);
        // Without one all attributes of the entry would come.
        let wanted = match attributes.is_empty() {
            true => vec!["1.1".to_owned()],
            false => attributes.clone(),
        };
        let found = ldap.search(base, Scope::Subtree, filter, wanted).await;
        let found = found.map_err(|error| Trouble::Connection(error.to_string()))?;
        if found.1.rc != 0 && found.1.rc != MORE {
            return Err(Trouble::Answer(found.1.to_string()));
        }
        if found.1.rc == MORE && found.0.len() < 2 {
            // Its own limit is lower: the one that it told of is not the only one.
            return Err(Trouble::Answer(found.1.to_string()));
        }
        let wanted = attributes.clone();
        // It panics on an entry that is none, which ends a task of its own.
        let read = tokio::spawn(async move {
            let entries = found.0.into_iter().map(SearchEntry::construct);
            let values = entries.map(|entry| values(entry, &wanted));
            values.collect::<Result<Vec<Values>, String>>()
        });
        match read.await {
            Ok(read) => read.map_err(Trouble::Answer),
            Err(_) => Err(Trouble::Answer("its answer is malformed".into())),
        }
    }
}

/// Why there is no answer that can be used.
pub(super) enum Trouble {
    /// The directory is down, or does not know the gateway; it may be another one on another connection.
    Connection(String),
    /// It is about this question alone.
    Answer(String),
}

/// What is wanted of an entry, by the names that it is wanted by: the directory spells them as it likes. All of it or an error, for
/// what is left out may be what forbids.
fn values(entry: SearchEntry, wanted: &[String]) -> Result<Values, String> {
    let mut values = Values::new();
    for name in wanted {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        // Some directories tell of many values in ranges, each under a name of its own.
        let in_part = |known: &str| {
            let (base, option) = known.split_once(';').unwrap_or((known, ""));
            same(base) && option.to_ascii_lowercase().starts_with("range=")
        };
        if entry.attrs.keys().any(|known| in_part(known)) {
            return Err(format!("{name}: it has more values than it tells"));
        }
        if entry.bin_attrs.keys().any(|known| same(known)) {
            return Err(format!("{name}: a value is no text"));
        }
        let Some((_, texts)) = entry.attrs.iter().find(|(known, _)| same(known)) else {
            continue;
        };
        if texts.len() > MAX_VALUES {
            let count = texts.len();
            return Err(format!("{name}: {count} values; at most {MAX_VALUES}"));
        }
        if texts.iter().any(|text| text.len() > MAX_VALUE) {
            return Err(format!("{name}: a value of more than {MAX_VALUE} bytes"));
        }
        values.insert(name.clone(), texts.iter().cloned().collect());
    }
    values.insert(DN.to_owned(), BTreeSet::from([entry.dn]));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(name: &str, texts: &[String]) -> Result<Values, String> {
        let entry = SearchEntry {
            dn: "uid=anna".into(),
            attrs: HashMap::from([(name.to_owned(), texts.to_vec())]),
            bin_attrs: HashMap::new(),
        };
        values(entry, &["memberOf".into()])
    }

    #[test]
    fn what_is_wanted_is_taken_whole_or_not_at_all() {
        let many: Vec<String> = (0..=MAX_VALUES).map(|at| at.to_string()).collect();
        let taken = read("memberof", &many[1..]).expect("fits");
        assert_eq!(taken["memberOf"].len(), MAX_VALUES);
        assert_eq!(taken[DN], BTreeSet::from(["uid=anna".to_owned()]));
        assert!(read("memberOf", &many).is_err());
        assert!(read("memberOf", &["x".repeat(MAX_VALUE + 1)]).is_err());
        assert!(read("memberOf;range=0-1499", &many[1..]).is_err());
        let other = read("title", &many).expect("is not wanted");
        assert_eq!(other.len(), 1, "its name alone");
        let entry = SearchEntry {
            dn: "uid=anna".into(),
            attrs: HashMap::new(),
            bin_attrs: HashMap::from([("memberOf".into(), vec![vec![0xff]])]),
        };
        assert!(values(entry, &["memberOf".into()]).is_err());
    }
}
