//! The ring of masters in a token: which there are, one more, one less.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::error::call;
use super::library::Library;
use super::{hygiene, objects, provision, suite2};
use crate::group::ids::MasterId;
use crate::hsm::{RingChange, TokenError, master_label};

/// The masters that the token has, ascending.
pub(super) fn masters(session: &Session) -> Result<Vec<MasterId>, TokenError> {
    let mut masters: Vec<MasterId> = labelled(session)?
        .into_iter()
        .filter_map(|(id, suite, _)| suite.is_empty().then_some(id))
        .collect();
    masters.sort_unstable();
    masters.dedup();
    Ok(masters)
}

/// Changes the ring, in a session of its own that may write; then every session of this process looks at it afresh.
pub(super) fn change(library: &Library, slot: Slot, change: RingChange) -> Result<(), TokenError> {
    let changing = &library.shared.changing;
    let _one_at_a_time = changing.lock().unwrap_or_else(PoisonError::into_inner);
    let session = library.write(slot)?;
    objects::logged_in(&session)?;
    match change {
        RingChange::List => return Ok(()),
        RingChange::Create(id) => {
            let label = master_label(id);
            if let Some(label) = suite2::provision::create_master(&session, id)? {
                tracing::info!(label, "master key created");
            }
            if !objects::find(&session, ObjectClass::SECRET_KEY, &label)?.is_empty() {
                return Ok(());
            }
            provision::create_master(&session, id)?;
            tracing::info!(label, "master key created");
        }
        RingChange::Destroy(id) => {
            let gone = destroy(&session, id);
            // Even if it failed half-way: what was derived is not to be used on.
            library.shared.rings.fetch_add(1, Ordering::Release);
            hygiene::forget(&session, id);
            gone?;
            tracing::warn!(label = master_label(id), "master key destroyed");
        }
    }
    library.shared.rings.fetch_add(1, Ordering::Release);
    Ok(())
}

/// Destroys a master, for whatever suites the token has it.
fn destroy(session: &Session, id: MasterId) -> Result<(), TokenError> {
    for (found, _, key) in labelled(session)? {
        if found == id {
            session
                .destroy_object(key)
                .map_err(call("destroy a master key"))?;
        }
    }
    Ok(())
}

type Labelled = (MasterId, String, ObjectHandle);

/// Every master key: its id, what follows the id in its label, and its handle.
fn labelled(session: &Session) -> Result<Vec<Labelled>, TokenError> {
    objects::while_logged_in(session, || look(session))
}

fn look(session: &Session) -> Result<Vec<Labelled>, TokenError> {
    let template = [
        Attribute::Token(true),
        Attribute::Class(ObjectClass::SECRET_KEY),
    ];
    let keys = session.find_objects(&template);
    let mut found = Vec::new();
    for key in keys.map_err(call("look for master keys"))? {
        let label = session.get_attributes(key, &[AttributeType::Label]);
        // Somebody else's key that went meanwhile, or has no label, is none of ours.
        let Ok([Attribute::Label(label)]) = label.as_deref() else {
            continue;
        };
        if let Some((id, suite)) = std::str::from_utf8(label).ok().and_then(parse) {
            found.push((id, suite.to_owned(), key));
        }
    }
    Ok(found)
}

/// `wardcast master 7` is 7 and nothing, `wardcast master 7 suite 2` is 7 and `suite 2`.
fn parse(label: &str) -> Option<(MasterId, &str)> {
    let rest = label.strip_prefix("wardcast master ")?;
    let (id, suite) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = id.parse().ok().map(MasterId)?;
    // `+7` and `007` are nobody's.
    let ours = id == number.0.to_string() && (suite.is_empty() || suite.starts_with("suite "));
    ours.then_some((number, suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_labels_are_masters() {
        assert_eq!(parse("wardcast master 7"), Some((MasterId(7), "")));
        let second = parse("wardcast master 7 suite 2");
        assert_eq!(second, Some((MasterId(7), "suite 2")));
        for other in [
            "wardcast master",
            "wardcast master ",
            "wardcast master +7",
            "wardcast master 007",
            "wardcast master 7 backup",
            "wardcast master 4294967296",
            "wardcast session x master 7",
            "Wardcast master 7",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
