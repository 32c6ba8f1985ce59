//! What can be wrong with `[admin]`, and with where members are told to go.

use crate::config::Admin;
use crate::group::limits::MAX_AWAY_ADDRESSES;
use crate::group::wire::is_address;

pub(super) fn check(admin: &Admin, report: &mut dyn FnMut(&str, String)) {
    if admin.address.is_some() && admin.operators.is_empty() {
        let why = "empty, so nobody could use the interface at admin.address; name identities, such as \"spiffe://example.org/operator\"";
        report("admin.operators", why.into());
    }
    let somebody = admin.by_key().into_iter();
    if admin.address.is_none() {
        for (key, _) in somebody.filter(|(_, whom)| !whom.is_empty()).take(1) {
            let why = format!(
                "not set, so the interface is off and {key} has no meaning; set it, such as \"127.0.0.1:7444\""
            );
            report("admin.address", why);
        }
        if admin.health_address.is_some() {
            let why = "is served by the admin interface, which is off; set admin.address as well";
            report("admin.health_address", why.into());
        }
    }
    for (key, whom) in admin.by_key() {
        for (index, one) in whom.iter().enumerate() {
            let kinds = ["spiffe://", "dns:", "cn:"];
            let named = |kind: &&str| {
                one.0
                    .strip_prefix(*kind)
                    .is_some_and(|rest| !rest.is_empty())
            };
            if !kinds.iter().any(named) || one.0.contains('*') {
                let why = format!(
                    "{:?} is no identity; it must be spelled out and begin with spiffe://, dns: or cn:",
                    one.0
                );
                report(&format!("{key}[{index}]"), why);
            }
        }
    }
}

pub(super) fn check_addresses(to: &[String], report: &mut dyn FnMut(&str, String)) {
    if to.len() > MAX_AWAY_ADDRESSES {
        let why = format!("{} addresses; at most {MAX_AWAY_ADDRESSES}", to.len());
        report("listen.drain_to", why);
    }
    for (index, address) in to.iter().enumerate().filter(|(_, one)| !is_address(one)) {
        let why = format!("{address:?}; must be HOST:PORT, such as \"gateway.example.org:7443\"");
        report(&format!("listen.drain_to[{index}]"), why);
    }
}
