//! What it costs to decide whether somebody may join: by rules, beside the list alone.

use divan::{Bencher, black_box};
use wardcast::attributes::{Attributes, certificate::Certificate};
use wardcast::group::ids::{Identity, Role};
use wardcast::group::policy::{AdmissionRule, GroupPolicy};
use wardcast::pki::{Authority, Request};
use wardcast::policy::{Decider, Rules, admit};

/// Rules that look at who asks: their answers differ from one to the next.
const OWN: &str = r#"
    @id("listed") permit (principal, action, resource) when { context.listed };
    @id("locked") forbid (principal, action, resource)
    when { principal.directory.hasTag("locked") && principal.directory.getTag("locked").contains("TRUE") };
"#;

fn main() {
    divan::main();
}

fn policy() -> GroupPolicy {
    GroupPolicy {
        admit: vec![AdmissionRule {
            identity: "spiffe://example.org/**".into(),
            roles: vec![Role::Both],
        }],
        ..GroupPolicy::default()
    }
}

fn decider(own: bool) -> Decider {
    match own {
        true => Decider::new(Rules::parse(OWN).expect("good rules")),
        false => Decider::default(),
    }
}

/// Somebody whose certificate differs from everybody else's.
fn somebody(number: u64) -> Attributes {
    let mut certificate = Certificate::default();
    certificate.thumbprint[..8].copy_from_slice(&number.to_be_bytes());
    let identity = Identity(format!("spiffe://example.org/member/{number}"));
    Attributes::new(identity, certificate)
}

/// Whether each comes for the first time, by the rules that there are and by own ones.
#[divan::bench(args = [false, true])]
fn whoever_comes_first(bencher: Bencher<'_, '_>, own: bool) {
    let (decider, policy) = (decider(own), policy());
    let mut number = 0;
    let next = || {
        number += 1;
        somebody(number)
    };
    bencher.with_inputs(next).bench_local_refs(|who| {
        black_box(decider.decide("studio", &policy, who, Role::Receiver));
    });
}

/// The same one again.
#[divan::bench(args = [false, true])]
fn whoever_comes_back(bencher: Bencher<'_, '_>, own: bool) {
    let (decider, policy, who) = (decider(own), policy(), somebody(1));
    bencher.bench_local(|| black_box(decider.decide("studio", &policy, &who, Role::Receiver)));
}

/// The list by itself.
#[divan::bench]
fn the_list_alone(bencher: Bencher<'_, '_>) {
    let (policy, who) = (policy(), somebody(1));
    bencher.bench_local(|| black_box(admit(&policy, &who.identity, Role::Receiver)));
}

/// A certificate, read for what stands in it.
#[divan::bench]
fn a_certificate_read(bencher: Bencher<'_, '_>) {
    let authority = Authority::new("bench").expect("an authority");
    let issued = authority.issue(&Request::client("anna").spiffe("spiffe://example.org/anna"));
    let issued = issued.expect("a certificate");
    let certificate = issued.chain()[0].clone();
    bencher.bench_local(|| black_box(Certificate::new(&certificate).expect("is one")));
}
