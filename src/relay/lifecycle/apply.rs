//! Does steps through the KMIP client, several objects in a message.
//!
//! All that begins is registered, then activated, before anything ends: so each group has its new object before the one before
//! it goes, and each object goes through its states in order. Whatever is done twice counts as done once: an object is looked up by
//! its name before it is registered where an earlier attempt may have registered it, and where a change is refused, the object's
//! state says whether it had happened.

use std::collections::{HashMap, HashSet};

use metrics::counter;
use tokio::time::sleep;

use super::Shared;
use super::aside::{self, Asides, REFUSALS};
use super::escrow::{self, EscrowKey};
use super::groups::{EscrowError, Groups};
use super::ledger::{Ledger, on_disk};
use super::locate::locate;
use super::names::Names;
use super::plan::{Begin, End, Escrowed, Reason};
use super::upstream::{self, ITEMS, State};
use crate::engine::RootKey;
use crate::group::ids::{GroupId, GroupNonce, KeyRef, NodeId};
use crate::group::operations::WrappedKey;
use crate::kmip::client::{
    Activate, Archive, Attribute, Client, ClientError, Destroy, Object, Operation, Query, Register,
    Revoke, SecretData,
};
use crate::kmip::codec::values;
use crate::relay::SinkError;
use crate::relay::audit::SETTLE;

/// What is done of a batch already.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The number of the batch's first record.
    pub(super) batch: u64,
    /// Objects may have been registered whose identifiers are not known.
    pub(super) uncertain: bool,
    /// They may have been sent a moment ago, and be done yet.
    pub(super) under_way: bool,
    /// All that begins in it is registered and active, and that is on disk: some of it may have ended.
    pub(super) begun: bool,
    /// The identifiers of objects that begin in it, by name.
    pub(super) ids: HashMap<String, String>,
    pub(super) done: Done,
    /// How often in a row the store has refused an operation on an object.
    pub(super) refusals: HashMap<(Verb, String), u32>,
    /// What is refused is set aside already: it is tried once, and stays so.
    pub(super) last_try: bool,
    /// What is registered, by name: it is made once.
    pub(super) objects: HashMap<String, Register>,
}

/// Changes that were made, with the names of the objects.
#[derive(Debug, Default)]
pub(super) struct Done(HashSet<(Verb, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    Register,
    Activate,
    Revoke,
    Leave,
}

/// Does the steps of one batch.
pub(super) struct Applier<'a, G> {
    client: &'a Client,
    groups: &'a G,
    names: &'a Names,
    escrow: &'a EscrowKey,
    ledger: &'a Ledger,
    asides: &'a Asides,
    pub(super) progress: &'a mut Progress,
}

impl<'a, G: Groups> Applier<'a, G> {
    pub(super) fn new(shared: &'a Shared<G>, progress: &'a mut Progress) -> Self {
        Applier {
            client: &shared.client,
            groups: &shared.groups,
            names: &shared.names,
            escrow: &shared.escrow,
            ledger: &shared.ledger,
            asides: &shared.asides,
            progress,
        }
    }

    /// What has to be registered: keys are wrapped for escrow, once, before anything is sent.
    pub(super) async fn objects(&mut self, begins: &[Begin]) -> Result<Vec<Register>, SinkError> {
        let mut registers = Vec::with_capacity(begins.len());
        for begin in begins {
            let made = self.progress.objects.get(&begin.name).cloned();
            let register = match made {
                Some(made) => made,
                None => self.object(begin).await?,
            };
            let name = begin.name.clone();
            self.progress.objects.insert(name, register.clone());
            registers.push(register);
        }
        Ok(registers)
    }

    async fn object(&self, begin: &Begin) -> Result<Register, SinkError> {
        let wrapped = match &begin.escrow {
            Some(escrowed) => Some(self.wrap(escrowed).await),
            None => None,
        };
        let (object, text, usage) = match wrapped {
            Some(Ok(key)) => {
                let text = begin.descriptor.clone().escrow("wrapped").text();
                let usage = Attribute::usage(values::CryptographicUsageMask::DeriveKey);
                let under = self.escrow.id(self.client).await?;
                let key = escrow::object(&key, &under);
                (Object::WrappedKey(key), text, Some(usage))
            }
            Some(Err(EscrowError::Unavailable(why))) => {
                let why = format!("{} is to be wrapped for escrow: {why}", begin.name);
                return Err(SinkError::Unreachable(why));
            }
            Some(Err(EscrowError::Impossible(why))) => {
                tracing::error!(object = begin.name, %why, "a key is not escrowed, though policy asks for it");
                counter!("wardcast_lifecycle_escrow_failures_total").increment(1);
                let text = begin
                    .descriptor
                    .clone()
                    .escrow(format!("impossible: {why}"))
                    .text();
                (descriptor(&text), text, None)
            }
            None => {
                let text = begin.descriptor.text();
                (descriptor(&text), text, None)
            }
        };
        let mut attributes = self.names.attributes(&begin.name, &text);
        attributes.extend(usage);
        Ok(Register { object, attributes })
    }

    async fn wrap(&self, escrowed: &Escrowed) -> Result<WrappedKey, EscrowError> {
        let impossible = |why: &str| EscrowError::Impossible(why.to_owned());
        let nonce = escrowed.seed.nonce.as_deref();
        let nonce = nonce
            .ok_or_else(|| impossible("the trail does not say what its seed is derived with"))?;
        let root = RootKey {
            group: GroupId(
                bytes(&escrowed.group)
                    .ok_or_else(|| impossible("the group's identifier is none"))?,
            ),
            suite: escrowed.seed.suite,
            master: escrowed.seed.master,
            nonce: GroupNonce(bytes(nonce).ok_or_else(|| impossible("the seed's nonce is none"))?),
            root: KeyRef {
                node: NodeId {
                    level: escrowed.root.level,
                    index: 0,
                },
                generation: escrowed.root.generation,
                step: escrowed.root.step,
            },
        };
        self.groups.wrap(&root).await
    }

    /// Does all of it; what was done before is not done again.
    pub(super) async fn run(
        &mut self,
        registers: &[(&str, Register)],
        ends: &[End],
    ) -> Result<(), SinkError> {
        if !self.progress.begun {
            self.register(registers).await?;
            let begun = registers.iter().map(|(name, _)| (*name).to_owned());
            let begun: Vec<String> = begun.collect();
            self.activate(&begun).await?;
        }
        if ends.is_empty() {
            return Ok(());
        }
        if !self.progress.begun && !registers.is_empty() {
            // What is not found by its name after a crash was ended then, and is not registered again.
            let ids = self.progress.ids.clone();
            let kept = self.ledger.all_begun(self.progress.batch, ids).await;
            kept.map_err(on_disk)?;
            self.progress.begun = true;
        }
        let ids = self.find_ends(ends).await?;
        self.revoke(ends, &ids).await?;
        self.leave(ends, &ids).await
    }

    async fn register(&mut self, registers: &[(&str, Register)]) -> Result<(), SinkError> {
        if self.progress.uncertain {
            let names = registers.iter().map(|(name, _)| *name);
            let unknown: Vec<&str> = names
                .filter(|name| !self.progress.ids.contains_key(*name))
                .collect();
            let mut found = locate(self.client, &unknown).await?;
            if found.ids.len() < unknown.len() && self.progress.under_way {
                // They may be on their way there still.
                sleep(SETTLE).await;
                found = locate(self.client, &unknown).await?;
            }
            self.progress.ids.extend(found.ids);
            (self.progress.uncertain, self.progress.under_way) = (false, false);
            let mut unclear = None;
            for (name, why) in found.unclear {
                if !self.sets_aside(Verb::Register, &name, &why, None).await? {
                    self.progress.uncertain = true;
                    unclear = Some(refusal(&name, &why));
                }
            }
            if let Some(unclear) = unclear {
                return Err(unclear);
            }
        }
        let missing = |(name, _): &&(&str, Register)| {
            !self.progress.ids.contains_key(*name) && !self.is_aside(Verb::Register, name)
        };
        let missing: Vec<&(&str, Register)> = registers.iter().filter(missing).collect();
        let mut refused = None;
        for some in missing.chunks(ITEMS) {
            let items: Vec<&Register> = some.iter().map(|(_, register)| register).collect();
            let answers = match upstream::each(self.client, &items).await {
                Ok(answers) => answers,
                Err(error) => {
                    (self.progress.uncertain, self.progress.under_way) = (true, true);
                    return Err(error.into());
                }
            };
            for ((name, _), answer) in some.iter().zip(answers) {
                match answer {
                    Ok(id) => {
                        counter!("wardcast_lifecycle_operations_total", "operation" => "register")
                            .increment(1);
                        self.progress.ids.insert((*name).to_owned(), id);
                    }
                    Err(error)
                        if is_typed(&error)
                            && self
                                .sets_aside(Verb::Register, name, &error.to_string(), None)
                                .await? => {}
                    Err(error) => {
                        // It may be there all the same.
                        self.progress.uncertain = true;
                        refused = Some(refusal(name, &error.to_string()));
                    }
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Whether an operation on an object was refused too often to be tried again now.
    async fn sets_aside(
        &mut self,
        verb: Verb,
        name: &str,
        why: &str,
        end: Option<&End>,
    ) -> Result<bool, SinkError> {
        if self.progress.last_try {
            return Ok(false);
        }
        let refusals = self.progress.refusals.entry((verb, name.to_owned()));
        let refusals = refusals.or_default();
        *refusals += 1;
        if *refusals < REFUSALS {
            return Ok(false);
        }
        let aside = aside::refused(name, verb.word(), why, end.cloned());
        let put = self.asides.put(self.ledger, aside).await;
        put.map_err(on_disk)
    }

    fn is_aside(&self, verb: Verb, name: &str) -> bool {
        !self.progress.last_try && self.asides.has(name, verb.word())
    }

    async fn activate(&mut self, names: &[String]) -> Result<(), SinkError> {
        let ids = &self.progress.ids;
        let known = names
            .iter()
            .filter_map(|name| Some((name.clone(), ids.get(name)?.clone())));
        let all: Vec<(String, String)> = known.collect();
        let activate = |id: String| Activate {
            unique_identifier: id,
        };
        let is_done = |state| state != State::PreActive;
        self.change((Verb::Activate, &[]), all, activate, is_done)
            .await
    }

    /// The identifiers of what ends; what has none is not there any more.
    async fn find_ends(&mut self, ends: &[End]) -> Result<HashMap<String, String>, SinkError> {
        let mut found = HashMap::with_capacity(ends.len());
        let mut unknown = Vec::new();
        for end in ends {
            match end.id.as_ref().or_else(|| self.progress.ids.get(&end.name)) {
                Some(id) => drop(found.insert(end.name.clone(), id.clone())),
                None if self.is_done(Verb::Leave, &end.name) => {}
                None => unknown.push(end.name.as_str()),
            }
        }
        let located = locate(self.client, &unknown).await?;
        found.extend(located.ids);
        for (name, why) in located.unclear {
            let end = ends.iter().find(|end| end.name == name);
            if !self.is_aside(Verb::Revoke, &name)
                && !self.sets_aside(Verb::Revoke, &name, &why, end).await?
            {
                return Err(refusal(&name, &why));
            }
        }
        Ok(found)
    }

    async fn revoke(
        &mut self,
        ends: &[End],
        ids: &HashMap<String, String>,
    ) -> Result<(), SinkError> {
        for reason in [Reason::Superseded, Reason::Ceased] {
            let open = ends
                .iter()
                .filter(|end| end.reason == reason && !end.revoked);
            let all = open.filter_map(|end| Some((end.name.clone(), ids.get(&end.name)?.clone())));
            let (code, message) = match reason {
                Reason::Superseded => (
                    values::RevocationReasonCode::Superseded,
                    "another one has its place",
                ),
                Reason::Ceased => (
                    values::RevocationReasonCode::CessationOfOperation,
                    "the group is over",
                ),
            };
            let revoke = |id: String| Revoke {
                unique_identifier: id,
                reason: code,
                message: Some(message.to_owned()),
                compromise_occurrence: None,
            };
            let is_done = |state| state != State::Active;
            self.change((Verb::Revoke, ends), all.collect(), revoke, is_done)
                .await?;
        }
        Ok(())
    }

    /// Archives or destroys what was revoked.
    async fn leave(
        &mut self,
        ends: &[End],
        ids: &HashMap<String, String>,
    ) -> Result<(), SinkError> {
        let named = |end: &End| Some((end.name.clone(), ids.get(&end.name)?.clone()));
        // What could not be revoked is active still.
        let revoked = ends
            .iter()
            .filter(|end| !self.is_aside(Verb::Revoke, &end.name));
        let (archived, destroyed): (Vec<&End>, Vec<&End>) = revoked.partition(|end| end.archive);
        let destroyed = destroyed.into_iter().filter_map(named).collect();
        let destroy = |id: String| Destroy {
            unique_identifier: id,
        };
        let is_gone = |state| state == State::Gone;
        self.change((Verb::Leave, ends), destroyed, destroy, is_gone)
            .await?;
        let archived: Vec<(String, String)> = archived.into_iter().filter_map(named).collect();
        if archived.is_empty() {
            return Ok(());
        }
        let facts = self.client.call(&Query).await?;
        if !facts.operations.contains(&values::Operation::Archive) {
            tracing::warn!(
                objects = archived.len(),
                first = archived[0].0,
                "the key store upstream has no Archive: what policy wants archived is left there, revoked"
            );
            return Ok(());
        }
        let archive = |id: String| Archive {
            unique_identifier: id,
        };
        let over = |state| matches!(state, State::Gone | State::Archived);
        self.change((Verb::Leave, ends), archived, archive, over)
            .await
    }

    /// Changes objects, given by name and identifier; one that is in such a state counts as changed. One that is refused does not keep
    /// the others.
    async fn change<O: Operation<Answer = String>>(
        &mut self,
        (verb, ends): (Verb, &[End]),
        all: Vec<(String, String)>,
        operation: impl Fn(String) -> O,
        is_done: impl Fn(State) -> bool,
    ) -> Result<(), SinkError> {
        let open =
            |(name, _): &(String, String)| !self.is_done(verb, name) && !self.is_aside(verb, name);
        let mut refused = None;
        let open: Vec<(String, String)> = all.into_iter().filter(open).collect();
        for some in open.chunks(ITEMS) {
            let items: Vec<O> = some.iter().map(|(_, id)| operation(id.clone())).collect();
            let items: Vec<&O> = items.iter().collect();
            let answers = upstream::each(self.client, &items).await?;
            for ((name, id), answer) in some.iter().zip(answers) {
                if let Err(error) = answer {
                    let state = upstream::state(self.client, id).await?;
                    if !state.is_some_and(&is_done) {
                        let end = ends.iter().find(|end| end.name == *name);
                        let why = error.to_string();
                        if !(is_typed(&error) && self.sets_aside(verb, name, &why, end).await?) {
                            refused = Some(refusal(name, &why));
                        }
                        continue;
                    }
                }
                counter!("wardcast_lifecycle_operations_total", "operation" => verb.word())
                    .increment(1);
                self.progress.done.0.insert((verb, name.clone()));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn is_done(&self, verb: Verb, name: &str) -> bool {
        self.progress.done.0.contains(&(verb, name.to_owned()))
    }
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Verb::Register => "register",
            Verb::Activate => "activate",
            Verb::Revoke => "revoke",
            Verb::Leave => "destroy_or_archive",
        }
    }
}

/// A descriptor as an object: opaque objects have no state, and could neither be activated nor revoked.
fn descriptor(text: &str) -> Object {
    Object::SecretData(SecretData {
        kind: values::SecretDataType::Seed,
        value: text.as_bytes().into(),
    })
}

fn refusal(name: &str, why: &str) -> SinkError {
    SinkError::Refused(format!("object {name}: {why}"))
}

/// Whether the store has answered that it does not do this; whatever else went wrong says nothing of an object.
fn is_typed(error: &ClientError) -> bool {
    matches!(error, ClientError::Failed { .. })
}

fn bytes<const N: usize>(hexadecimal: &str) -> Option<[u8; N]> {
    let bytes = data_encoding::HEXLOWER
        .decode(hexadecimal.as_bytes())
        .ok()?;
    bytes.try_into().ok()
}
