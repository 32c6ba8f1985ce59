//! Whose objects are whose, and which of them go.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectHandle};

use super::super::objects;
use super::super::tests::session;
use super::*;
use crate::hsm::conformance::softhsm::in_child;
use crate::hsm::{TokenConfig, open, provision};

#[test]
fn owners_are_read_from_labels_of_our_two_forms_alone() {
    let this = Owner::this();
    let label = session_label(MasterId(7));
    let label = String::from_utf8(label).expect("is text");
    assert_eq!(label, format!("wardcast session {this} master 7"));
    assert_eq!(owner(&label).map(Owner::state), Some(State::Runs));
    let unfinished = unfinished_label("wardcast agreement");
    let unfinished = String::from_utf8(unfinished).expect("is text");
    assert_eq!(owner(&unfinished), owner(&label));
    for other in [
        "",
        "wardcast master 1",
        "wardcast session",
        "wardcast session a.b.1.2",
        "wardcast session a.b.1 master 1",
        "wardcast session a.b.1.2.3 master 1",
        "wardcast session ..1.2 master 1",
        "wardcast session a.b.x.2 master 1",
        "somebody's wardcast session a.b.1.2 master 1",
    ] {
        assert_eq!(owner(other), None, "{other}");
    }
}

/// A process that has ended, by the name that it had.
fn ended() -> String {
    let mut child = std::process::Command::new("sleep").arg("60").spawn();
    let child = child.as_mut().expect("starts");
    let started = started(child.id()).expect("runs");
    let name = format!("{}.{}.{}.{started}", machine(), boot(), child.id());
    let runs = format!("wardcast session {name} master 1");
    assert_eq!(owner(&runs).map(Owner::state), Some(State::Runs));
    child.kill().expect("ends");
    child.wait().expect("ended");
    assert_eq!(owner(&runs).map(Owner::state), Some(State::Gone));
    name
}

#[test]
fn a_process_is_told_from_one_that_was_given_its_number_later() {
    let this = std::process::id();
    let started = started(this).expect("runs");
    let mine = Owner {
        machine: &machine(),
        boot: &boot(),
        process: this,
        started,
    };
    assert_eq!(mine.state(), State::Runs);
    let later = started + 1;
    let states = [
        Owner {
            started: later,
            ..mine
        },
        Owner {
            boot: "0badb007",
            ..mine
        },
        Owner {
            machine: "0badcafe",
            ..mine
        },
    ];
    let states = states.map(Owner::state);
    assert_eq!(states, [State::Gone, State::Gone, State::Elsewhere]);
    ended();
}

fn leave(config: &TokenConfig, label: &str) -> ObjectHandle {
    let session = session(config, true);
    let mut template = objects::secret_key(KeyType::AES, true, false, false);
    template.push(Attribute::Token(true));
    template.push(Attribute::Label(label.as_bytes().to_vec()));
    let key = session.generate_key(&Mechanism::AesKeyGen, &template);
    key.expect("is made")
}

fn labels(config: &TokenConfig) -> Vec<String> {
    let session = session(config, false);
    let mut labels = Vec::new();
    for object in session.find_objects(&[]).expect("looks") {
        let label = session.get_attributes(object, &[AttributeType::Label]);
        if let [Attribute::Label(label)] = &label.expect("answers")[..] {
            labels.push(String::from_utf8_lossy(label).into_owned());
        }
    }
    labels.sort_unstable();
    labels
}

#[test]
fn what_a_crash_left_behind_goes_and_everything_else_stays() {
    let test =
        "hsm::pkcs11::hygiene::tests::what_a_crash_left_behind_goes_and_everything_else_stays";
    in_child(test, 1, |config| {
        provision(config).expect("provisions");
        let before = labels(config);
        assert_eq!(before.len(), 5, "a master and two pairs: {before:?}");
        let (this, ended, rebooted) = (
            Owner::this(),
            ended(),
            format!("{}.0badb007.1.1", machine()),
        );
        for gone in [&ended, &rebooted] {
            leave(
                config,
                &format!("wardcast unfinished {gone} wardcast master 2"),
            );
            leave(config, &format!("wardcast session {gone} master 1"));
        }
        let stay = [
            format!("wardcast unfinished {this} wardcast master 2"),
            format!("wardcast session {this} master 1"),
            "wardcast session 0badcafe.0badb007.1.1 master 1".to_owned(),
            "wardcast session".to_owned(),
            "somebody else's key".to_owned(),
            String::new(),
        ];
        for label in &stay {
            leave(config, label);
        }
        // The first session of the process that is not for provisioning sweeps, the next does not.
        let opener = open(config).expect("opens");
        let token = opener().expect("opens");
        let mut expected = [before, stay.to_vec()].concat();
        expected.sort_unstable();
        assert_eq!(labels(config), expected);
        leave(config, &format!("wardcast session {ended} master 1"));
        opener().expect("opens");
        assert_eq!(labels(config).len(), expected.len() + 1);
        drop(token);
    });
}

#[test]
fn a_public_key_that_a_crash_left_alone_does_not_stand_in_the_way() {
    let test = "hsm::pkcs11::hygiene::tests::a_public_key_that_a_crash_left_alone_does_not_stand_in_the_way";
    in_child(test, 1, |config| {
        provision(config).expect("provisions");
        let session = session(config, true);
        let template = [
            Attribute::Class(cryptoki::object::ObjectClass::PRIVATE_KEY),
            Attribute::Label(b"wardcast signing".to_vec()),
        ];
        for private in session.find_objects(&template).expect("looks") {
            session.destroy_object(private).expect("destroys");
        }
        let created = provision(config).expect("provisions").created;
        assert_eq!(created, ["wardcast signing"]);
        assert!(open(config).and_then(|opener| opener()).is_ok());
    });
}
