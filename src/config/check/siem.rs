//! What can be wrong with `[siem]`.

use std::path::Path;

use crate::config::siem::{Siem, SiemOcsf, SiemSplunk, SiemSyslog};

/// The last facility (RFC 5424, table 1).
const MAX_FACILITY: u8 = 23;
/// Bounds of how long something is in doubt: less than a server needs to write it loses records, more only sends more of them twice.
const SETTLE_S: (u32, u32) = (1, 3_600);
const ACK_S: (u32, u32) = (1, 3_600);

type Report<'r> = &'r mut dyn FnMut(&str, String);

pub(super) fn check(siem: &Siem, report: Report<'_>) {
    let Siem {
        identifier_key_file,
        syslog,
        ocsf,
        splunk,
    } = siem;
    if !syslog.address.is_empty() {
        check_syslog(syslog, report);
    }
    if !ocsf.url.is_empty() {
        check_ocsf(ocsf, report);
    }
    if !splunk.url.is_empty() {
        check_splunk(splunk, report);
    }
    let hashing = [
        ("syslog", syslog.hash_identifiers),
        ("ocsf", ocsf.hash_identifiers),
        ("splunk", splunk.hash_identifiers),
    ];
    for (sink, hashes) in hashing {
        if hashes && identifier_key_file.as_os_str().is_empty() {
            let why = "true, but there is no key to hash with; set siem.identifier_key_file";
            report(&format!("siem.{sink}.hash_identifiers"), why.to_owned());
        }
    }
}

fn check_syslog(syslog: &SiemSyslog, report: Report<'_>) {
    let host_and_port = syslog.address.rsplit_once(':');
    let good = host_and_port
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0));
    if !good {
        let why = format!(
            "{:?}; must be HOST:PORT, such as \"logs.example.org:6514\"",
            syslog.address
        );
        report("siem.syslog.address", why);
    }
    if syslog.facility > MAX_FACILITY {
        let why = format!("{}; must be from 0 to {MAX_FACILITY}", syslog.facility);
        report("siem.syslog.facility", why);
    }
    bounds("siem.syslog.settle_s", syslog.settle_s, SETTLE_S, report);
    both("syslog", &syslog.certificate, &syslog.key, report);
}

fn check_ocsf(ocsf: &SiemOcsf, report: Report<'_>) {
    https("siem.ocsf.url", &ocsf.url, report);
    both("ocsf", &ocsf.certificate, &ocsf.key, report);
}

fn check_splunk(splunk: &SiemSplunk, report: Report<'_>) {
    https("siem.splunk.url", &splunk.url, report);
    if splunk.token_file.as_os_str().is_empty() {
        let why = "empty; must be a file with the token of the HTTP Event Collector";
        report("siem.splunk.token_file", why.to_owned());
    }
    bounds("siem.splunk.ack_s", splunk.ack_s, ACK_S, report);
}

fn https(key: &str, url: &str, report: Report<'_>) {
    let host = url.strip_prefix("https://").unwrap_or_default();
    let authority = host.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let why = "a name and a password before the host; what lets in comes from a file";
        report(key, why.to_owned());
    } else if authority.is_empty() {
        let why = format!("{url:?}; must be like \"https://siem.example.org:8088\"");
        report(key, why);
    }
}

fn bounds(key: &str, value: u32, (least, most): (u32, u32), report: Report<'_>) {
    if !(least..=most).contains(&value) {
        report(key, format!("{value}; must be from {least} to {most}"));
    }
}

fn both(sink: &str, certificate: &Path, key: &Path, report: Report<'_>) {
    let empty = [certificate, key].map(|path| path.as_os_str().is_empty());
    if empty[0] != empty[1] {
        let key = ["certificate", "key"][usize::from(empty[1])];
        let why = "empty, but the other of certificate and key is set: set both, or neither";
        report(&format!("siem.{sink}.{key}"), why.to_owned());
    }
}

/// Files that have to be there.
pub(super) fn must_read(siem: &Siem) -> impl Iterator<Item = (String, &Path)> {
    let Siem {
        syslog,
        ocsf,
        splunk,
        ..
    } = siem;
    let files = [
        ("identifier_key_file", &siem.identifier_key_file),
        ("syslog.ca", &syslog.ca),
        ("syslog.certificate", &syslog.certificate),
        ("syslog.key", &syslog.key),
        ("ocsf.ca", &ocsf.ca),
        ("ocsf.certificate", &ocsf.certificate),
        ("ocsf.key", &ocsf.key),
        ("ocsf.token_file", &ocsf.token_file),
        ("splunk.ca", &splunk.ca),
        ("splunk.token_file", &splunk.token_file),
    ];
    let named = files
        .into_iter()
        .filter(|(_, path)| !path.as_os_str().is_empty());
    named.map(|(key, path)| (format!("siem.{key}"), path.as_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(siem: &Siem) -> Vec<String> {
        let mut keys = Vec::new();
        check(siem, &mut |key, _| keys.push(key.to_owned()));
        keys
    }

    #[test]
    fn each_bad_key_is_named_and_a_sink_that_is_off_is_not_looked_at() {
        assert_eq!(complaints(&Siem::default()), Vec::<String>::new());
        let siem = Siem {
            syslog: SiemSyslog {
                address: "logs".into(),
                facility: 24,
                settle_s: 0,
                certificate: "one.pem".into(),
                hash_identifiers: true,
                ..SiemSyslog::default()
            },
            ocsf: SiemOcsf {
                url: "http://siem.test".into(),
                ..SiemOcsf::default()
            },
            splunk: SiemSplunk {
                url: "https://".into(),
                ack_s: 0,
                ..SiemSplunk::default()
            },
            ..Siem::default()
        };
        let expected = [
            "siem.syslog.address",
            "siem.syslog.facility",
            "siem.syslog.settle_s",
            "siem.syslog.key",
            "siem.ocsf.url",
            "siem.splunk.url",
            "siem.splunk.token_file",
            "siem.splunk.ack_s",
            "siem.syslog.hash_identifiers",
        ];
        assert_eq!(complaints(&siem), expected);
    }
}
