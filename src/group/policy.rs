//! What an operator decides about a group: timing, limits, and who is admitted.

use minicbor::{Decode, Decoder, Encode, decode};
use serde::{Deserialize, Serialize};

use super::ids::Role;
use super::limits::{
    MAX_ADMISSION_RULES, MAX_BATCH_INTERVAL_MS, MAX_GROUP_MEMBERS, MAX_PATTERN_BYTES,
    MAX_SENDER_ID_BITS,
};
use super::multicast::{self, MulticastAddress};

/// The policy of one group. Each group has its own; a new group begins with the configured default.
///
/// ```
/// use wardcast::group::policy::GroupPolicy;
///
/// let policy = GroupPolicy { quorum_percent: 101, ..GroupPolicy::default() };
/// assert_eq!(policy.validate().unwrap_err().key, "quorum_percent");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields, default)]
pub struct GroupPolicy {
    /// How long changes are collected before they become one epoch, in milliseconds; 0 takes each by itself. Joins alone may wait
    /// longer ([`JOIN_DELIVERIES_PER_SECOND`](super::limits::JOIN_DELIVERIES_PER_SECOND)).
    #[n(0)]
    pub batch_interval_ms: u32,
    /// After this long a delivered epoch is activated without a quorum, in milliseconds.
    #[n(1)]
    pub activation_delay_ms: u32,
    /// How long receivers keep an older epoch after a newer one became active, in milliseconds.
    #[n(2)]
    pub retirement_delay_ms: u32,
    /// The share of members that must have acknowledged an epoch for it to be activated early.
    #[n(3)]
    pub quorum_percent: u8,
    /// A group without changes is rekeyed this often, in seconds; 0 is never.
    #[n(4)]
    pub rekey_period_s: u32,
    /// A member without a connection for this long has left, in seconds.
    #[n(5)]
    pub absence_s: u32,
    /// A connected member that has not acknowledged an epoch for this long is removed, in seconds.
    #[n(6)]
    pub silence_s: u32,
    /// How many members the group may have.
    #[n(7)]
    pub member_limit: u32,
    /// Sender identifiers come from a space of two to this power; its exhaustion rolls the group over.
    #[n(8)]
    pub sender_id_bits: u8,
    /// How many members of the group may have the same identity.
    #[n(9)]
    pub registrations_per_identity: u32,
    /// Who may join, and as what; nobody if empty.
    #[n(10)]
    pub admit: Vec<AdmissionRule>,
    /// Where rekeys are sent by IP multicast besides, once for all members who listen there; as text, and empty for
    /// nowhere. It needs a gateway that is configured to multicast. Best one of the group's own: members of two groups
    /// at one address hear both, and can use one.
    #[n(11)]
    #[serde(with = "multicast::text")]
    pub multicast: Option<MulticastAddress>,
    /// Whether each generation of the group's root key goes to the key store upstream, wrapped in the token under the escrow key:
    /// whoever holds that key can read the group then.
    #[n(12)]
    #[cbor(default)]
    pub escrow: bool,
    /// Whether what is over is archived upstream (old generations, and the group with its end) instead of destroyed there.
    #[n(13)]
    #[cbor(default)]
    pub archive: bool,
    /// For how long members are admitted while the key store upstream cannot be reached, in seconds; 0 is not at all. Without one it
    /// means nothing. Members keep their keys, and rekeys and evictions go on, however long it takes.
    ///
    /// A policy that was written before there was this has today's default, as it would if it were created today: with 0, which nobody chose,
    /// a group would admit nobody until the key store answered.
    #[n(14)]
    #[cbor(decode_with = "seconds", nil = "outage_of_before")]
    pub outage_s: u32,
    /// What happens when the group's object, or that of its keys, is revoked, compromised or destroyed upstream.
    #[n(15)]
    #[cbor(default)]
    pub on_revoked: OnRevoked,
}

fn seconds<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<u32, decode::Error> {
    decoder.u32()
}

fn outage_of_before() -> Option<u32> {
    Some(GroupPolicy::default().outage_s)
}

/// What an end upstream means for a group here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum OnRevoked {
    /// Every key of the group is replaced.
    #[default]
    #[n(0)]
    Roll,
    /// Nobody is admitted any more; members keep their keys, and rekeys and evictions go on.
    #[n(1)]
    Freeze,
    /// The group is over.
    #[n(2)]
    Destroy,
}

/// Admits the identities that a pattern matches, in any of the roles named.
///
/// A pattern begins with the kind of identity (`spiffe://`, `dns:` or `cn:`) or is `**`, which is anyone with
/// a certificate of a trusted authority. `*` matches within a segment, `**` across them; segments are
/// separated by `/` in a SPIFFE identity and by `.` in a DNS name, and a common name is one segment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct AdmissionRule {
    /// The pattern of identities.
    #[n(0)]
    pub identity: String,
    /// The roles that they may have; `both` includes the other two, and these together are `both`.
    #[n(1)]
    pub roles: Vec<Role>,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct PolicyError {
    /// The key, with an index where it is a list: `admit[2].roles`.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub why: String,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        GroupPolicy {
            batch_interval_ms: 100,
            activation_delay_ms: 1_000,
            retirement_delay_ms: 5_000,
            quorum_percent: 95,
            rekey_period_s: 3_600,
            absence_s: 86_400,
            silence_s: 300,
            member_limit: 1_000_000,
            sender_id_bits: 16,
            registrations_per_identity: 4,
            admit: Vec::new(),
            multicast: None,
            escrow: false,
            archive: false,
            outage_s: 86_400,
            on_revoked: OnRevoked::Roll,
        }
    }
}

impl GroupPolicy {
    /// Whether it may refuse somebody whom the other one admits.
    pub fn may_refuse_what(&self, other: &Self) -> bool {
        self.admit != other.admit
            || self.member_limit < other.member_limit
            || self.registrations_per_identity < other.registrations_per_identity
            || self.sender_id_bits < other.sender_id_bits
            || self.outage_s < other.outage_s
    }

    /// Whether the values are within their bounds and fit each other.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.validate_bounds()?;
        self.validate_timing()?;
        if self.admit.len() > MAX_ADMISSION_RULES {
            let why = format!("{} rules; at most {MAX_ADMISSION_RULES}", self.admit.len());
            return Err(refuse("admit", why));
        }
        for (index, rule) in self.admit.iter().enumerate() {
            rule.validate(index)?;
        }
        Ok(())
    }

    fn validate_bounds(&self) -> Result<(), PolicyError> {
        let at_least_one = [
            ("absence_s", self.absence_s),
            ("silence_s", self.silence_s),
            (
                "registrations_per_identity",
                self.registrations_per_identity,
            ),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(refuse(key, "0; must be at least 1".into()));
            }
        }
        within(
            "batch_interval_ms",
            self.batch_interval_ms,
            0,
            MAX_BATCH_INTERVAL_MS,
        )?;
        within("quorum_percent", self.quorum_percent.into(), 1, 100)?;
        within("member_limit", self.member_limit, 1, MAX_GROUP_MEMBERS)?;
        within(
            "sender_id_bits",
            self.sender_id_bits.into(),
            1,
            MAX_SENDER_ID_BITS.into(),
        )
    }

    fn validate_timing(&self) -> Result<(), PolicyError> {
        if self.activation_delay_ms > self.retirement_delay_ms {
            let why = format!(
                "{} is longer than retirement_delay_ms = {}: receivers would drop the old epoch while \
                 senders may still use it; make it at most as long",
                self.activation_delay_ms, self.retirement_delay_ms
            );
            return Err(refuse("activation_delay_ms", why));
        }
        let turn_over = u64::from(self.activation_delay_ms) + u64::from(self.retirement_delay_ms);
        if self.rekey_period_s != 0 && u64::from(self.rekey_period_s) * 1_000 < turn_over {
            let why = format!(
                "{} s is shorter than activation_delay_ms and retirement_delay_ms together \
                 ({turn_over} ms): use 0 for never, or a longer period",
                self.rekey_period_s
            );
            return Err(refuse("rekey_period_s", why));
        }
        if u64::from(self.silence_s) * 1_000 < u64::from(self.activation_delay_ms) {
            let why = format!(
                "{} s is shorter than activation_delay_ms = {}: members would be removed before they \
                 had time to answer",
                self.silence_s, self.activation_delay_ms
            );
            return Err(refuse("silence_s", why));
        }
        Ok(())
    }
}

impl AdmissionRule {
    fn validate(&self, index: usize) -> Result<(), PolicyError> {
        let identity = |why: String| Err(refuse(&format!("admit[{index}].identity"), why));
        let pattern = self.identity.as_str();
        if pattern.len() > MAX_PATTERN_BYTES {
            return identity(format!(
                "{} bytes; at most {MAX_PATTERN_BYTES}",
                pattern.len()
            ));
        }
        if pattern.contains("***") {
            return identity(format!("{pattern:?} has three * in a row; use * or **"));
        }
        let kinds = ["spiffe://", "dns:", "cn:"];
        let named = |kind: &&str| {
            pattern
                .strip_prefix(*kind)
                .is_some_and(|rest| !rest.is_empty())
        };
        if pattern != "**" && !kinds.iter().any(named) {
            return identity(format!(
                "{pattern:?} can match nobody; it must be ** or a pattern that begins with spiffe://, dns: or cn:"
            ));
        }
        if self.roles.is_empty() {
            let why = "empty, so the rule admits nobody; name receiver, sender or both".into();
            return Err(refuse(&format!("admit[{index}].roles"), why));
        }
        Ok(())
    }
}

fn within(key: &str, value: u32, least: u32, most: u32) -> Result<(), PolicyError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refuse(
        key,
        format!("{value}; must be from {least} to {most}"),
    ))
}

fn refuse(key: &str, why: String) -> PolicyError {
    PolicyError {
        key: key.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut GroupPolicy)) -> String {
        let mut policy = GroupPolicy::default();
        change(&mut policy);
        policy.validate().expect_err("must be refused").key
    }

    fn rule(identity: &str, roles: &[Role]) -> AdmissionRule {
        AdmissionRule {
            identity: identity.into(),
            roles: roles.to_vec(),
        }
    }

    #[test]
    fn the_default_is_valid_and_survives_both_encodings() {
        let mut policy = GroupPolicy::default();
        policy.validate().expect("the default");
        policy
            .admit
            .push(rule("spiffe://example.org/**", &[Role::Both]));
        policy.multicast = Some("[ff15::7]:7445".parse().expect("is one"));
        policy.validate().expect("with a rule");

        let bytes = minicbor::to_vec(&policy).expect("encodes");
        let decoded: GroupPolicy = minicbor::decode(&bytes).expect("decodes");
        assert_eq!(decoded, policy);
        let text = toml::to_string(&policy).expect("serialises");
        assert_eq!(
            toml::from_str::<GroupPolicy>(&text).expect("parses"),
            policy
        );
    }

    /// As far as a policy went before there was a key store upstream.
    #[derive(Encode)]
    #[cbor(map)]
    struct Before {
        #[n(0)]
        batch_interval_ms: u32,
        #[n(1)]
        activation_delay_ms: u32,
        #[n(2)]
        retirement_delay_ms: u32,
        #[n(3)]
        quorum_percent: u8,
        #[n(4)]
        rekey_period_s: u32,
        #[n(5)]
        absence_s: u32,
        #[n(6)]
        silence_s: u32,
        #[n(7)]
        member_limit: u32,
        #[n(8)]
        sender_id_bits: u8,
        #[n(9)]
        registrations_per_identity: u32,
        #[n(10)]
        admit: Vec<AdmissionRule>,
    }

    #[test]
    fn what_a_policy_of_before_does_not_say_is_as_it_is_by_default() {
        let today = GroupPolicy::default();
        let before = Before {
            batch_interval_ms: 7,
            activation_delay_ms: today.activation_delay_ms,
            retirement_delay_ms: today.retirement_delay_ms,
            quorum_percent: today.quorum_percent,
            rekey_period_s: today.rekey_period_s,
            absence_s: today.absence_s,
            silence_s: today.silence_s,
            member_limit: today.member_limit,
            sender_id_bits: today.sender_id_bits,
            registrations_per_identity: today.registrations_per_identity,
            admit: Vec::new(),
        };
        let before = minicbor::to_vec(before).expect("encodes");
        let decoded: GroupPolicy = minicbor::decode(&before).expect("decodes");
        let expected = GroupPolicy {
            batch_interval_ms: 7,
            ..today
        };
        assert_eq!(decoded, expected);
        // What somebody chose is another thing.
        let chosen = GroupPolicy {
            outage_s: 0,
            ..expected
        };
        let bytes = minicbor::to_vec(&chosen).expect("encodes");
        let decoded: GroupPolicy = minicbor::decode(&bytes).expect("decodes");
        assert_eq!(decoded, chosen);
    }

    #[test]
    fn impossible_values_name_their_key() {
        assert_eq!(refused(|p| p.quorum_percent = 0), "quorum_percent");
        assert_eq!(refused(|p| p.member_limit = 0), "member_limit");
        assert_eq!(refused(|p| p.sender_id_bits = 25), "sender_id_bits");
        assert_eq!(refused(|p| p.silence_s = 0), "silence_s");
        assert_eq!(refused(|p| p.absence_s = 0), "absence_s");
        assert_eq!(
            refused(|p| p.batch_interval_ms = u32::MAX),
            "batch_interval_ms"
        );
        assert_eq!(
            refused(|p| p.activation_delay_ms = 5_001),
            "activation_delay_ms"
        );
        assert_eq!(refused(|p| p.rekey_period_s = 5), "rekey_period_s");
    }

    #[test]
    fn what_is_no_multicast_address_is_refused_with_a_reason() {
        let parse = |address: &str| {
            toml::from_str::<GroupPolicy>(&format!("multicast = {address:?}"))
                .map(|policy| policy.multicast)
        };
        assert_eq!(parse(""), Ok(None));
        assert!(parse("239.1.2.3:7445").is_ok_and(|parsed| parsed.is_some()));
        let refused = parse("10.0.0.1:7445").expect_err("is unicast").to_string();
        assert!(refused.contains("is no multicast address"), "{refused}");
        // What was written before there were any.
        let before = minicbor::to_vec(GroupPolicy::default()).expect("encodes");
        let decoded: GroupPolicy = minicbor::decode(&before).expect("decodes");
        assert_eq!(decoded.multicast, None);
    }

    #[test]
    fn rules_that_can_admit_nobody_are_refused() {
        let with = |rule: AdmissionRule| refused(|p| p.admit = vec![rule]);
        for pattern in ["", "*", "example.org", "spiffe://", "dns:a***", "user@host"] {
            assert_eq!(
                with(rule(pattern, &[Role::Both])),
                "admit[0].identity",
                "{pattern}"
            );
        }
        assert_eq!(with(rule("**", &[])), "admit[0].roles");
    }
}
