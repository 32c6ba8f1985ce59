//! What people and machines do while it is stormy.

use wardcast::group::ids::{GroupNonce, MasterId, MemberId, Revision, Suite};
use wardcast::group::machine::{GroupMachine, Input, Rollover};
use wardcast::group::policy::GroupPolicy;

use super::{Event, World};
use crate::gateway::{Connection, Gateway};
use crate::random::Random;
use crate::symbolic::created;

impl World {
    /// Everything in memory is gone. What was being written is on the disk, or is not.
    pub(super) fn crash(&mut self) {
        if self.life.gateway.take().is_none() {
            return;
        }
        self.outcome.crashes += 1;
        self.log(|| "the gateway crashes".into());
        self.life.evicting.clear();
        let writing = self
            .agenda
            .queue
            .iter()
            .find(|(_, event)| matches!(event, Event::Written { .. }));
        if let Some(&at) = writing.map(|(at, _)| at)
            && let Some(Event::Written {
                expected,
                record,
                fails,
                ..
            }) = self.agenda.queue.remove(&at)
        {
            let lost = fails || self.random.permille(500);
            self.write(0, expected, record, lost);
        }
        self.life.number += 1;
        for client in 0..self.clients.len() {
            if let Some(number) = self.clients[client].connection {
                let after = self.random.within(1, 2_000);
                self.later(after, Event::Reset(Connection { client, number }));
            }
        }
        let after = self.random.within(1, 3_000);
        self.later(after, Event::Restart);
    }

    pub(super) fn restart(&mut self) {
        if self.life.gateway.is_some() {
            return;
        }
        let snapshot = self
            .disk
            .snapshot
            .as_ref()
            .map(|(_, bytes)| bytes.as_slice());
        let records = self
            .disk
            .records
            .iter()
            .map(|(_, record)| record.as_slice());
        let machine = if snapshot.is_none() && self.disk.records.is_empty() {
            // It crashed before the group was on record: whoever asked for it asks again.
            GroupMachine::create(created(policy(&mut self.random)), None)
        } else {
            GroupMachine::restore(snapshot, records, None).expect("what was persisted is whole")
        };
        self.log(|| format!("the gateway is back at epoch {}", machine.state().epoch()));
        self.life.gateway = Some(Gateway::new(machine));
        self.gateway_gets(Input::Tick);
        if !self.stormy() {
            // Whoever asked has no answer, and asks again.
            self.ask_for_calm();
        }
        self.find_the_token();
    }

    /// Somebody does something.
    pub(super) fn whim(&mut self) {
        if !self.stormy() {
            return;
        }
        let next = self.random.within(20, 800);
        self.later(next, Event::Whim);
        let client = self.random.within(0, self.clients.len() as u64 - 1) as usize;
        let connection = self.clients[client].connection;
        if self.random.permille(self.weather.crash) {
            let after = self.random.within(0, 60);
            return self.later(after, Event::Crash);
        }
        match self.random.within(0, 13) {
            0 | 1 => self.evict(),
            2 => self.gateway_gets(Input::Rotate),
            3 | 4 => {
                let actor = &mut self.clients[client];
                actor.mood.wants = !actor.mood.wants;
                self.log(|| format!("client {client} changes its mind"));
            }
            5 => {
                if let Some(number) = connection {
                    self.reset(Connection { client, number });
                }
            }
            6 => {
                let until = self.agenda.now + self.random.within(100, 9_000);
                self.clients[client].mood.frozen_until = until;
            }
            7 => self.take_snapshot(),
            8 => {
                let policy = policy(&mut self.random);
                self.gateway_gets(Input::SetPolicy(policy));
            }
            12 => self.roll_over(),
            13 => self.freeze_or_thaw(),
            9 => self.clients[client].mood.malicious = self.random.permille(300),
            _ => self.clients[client].mood.wants = true,
        }
    }

    pub(super) fn evict(&mut self) {
        let Some(gateway) = &self.life.gateway else {
            return;
        };
        let known: Vec<MemberId> = gateway.machine.members().map(|(id, _)| id).collect();
        let count = self.random.within(1, 3);
        let picked = (0..count).filter_map(|_| self.random.pick(&known).copied());
        let members: Vec<MemberId> = picked.collect();
        for client in self.clients.iter_mut() {
            let evicted = client
                .member()
                .is_some_and(|member| members.contains(&member));
            client.mood.wants &= !(evicted && self.random.permille(500));
        }
        self.life.evicting.extend(&members);
        let urgent = self.random.permille(500);
        self.gateway_gets(Input::Evict {
            members,
            urgent,
            reason: "a whim".into(),
            by: None,
        });
    }

    fn freeze_or_thaw(&mut self) {
        let input = match self.random.permille(150) {
            true => Input::Freeze {
                why: "a whim".into(),
                by: None,
            },
            false => Input::Thaw { by: None },
        };
        self.gateway_gets(input);
    }

    /// To another master, or suite, or neither.
    fn roll_over(&mut self) {
        self.outcome.rollovers += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.outcome.rollovers.to_be_bytes());
        let rollover = Rollover {
            master: MasterId(self.random.within(1, 3) as u32),
            nonce: GroupNonce(nonce),
            suite: Suite::ALL[self.random.within(0, 1) as usize],
        };
        self.gateway_gets(Input::Rollover(rollover));
    }

    pub(super) fn take_snapshot(&mut self) {
        let Some(gateway) = &self.life.gateway else {
            return;
        };
        let at = gateway.machine.state().revision();
        self.disk.snapshot = Some((at, gateway.machine.snapshot()));
        self.disk.records.retain(|&(expected, _)| expected >= at);
        if at == Revision(0) {
            self.disk.snapshot = None;
        }
    }

    fn ask_for_calm(&mut self) {
        // Rotations would never end.
        let mut policy = policy(&mut self.random);
        policy.rekey_period_s = 0;
        self.gateway_gets(Input::SetPolicy(policy));
        self.gateway_gets(Input::Thaw { by: None });
    }

    pub(super) fn calm_down(&mut self) {
        self.log(|| "it is calm from now on".into());
        for client in &mut self.clients {
            client.mood.frozen_until = 0;
            client.mood.malicious = false;
        }
        if self.life.gateway.is_none() {
            self.restart();
        }
        self.ask_for_calm();
        for client in 0..self.clients.len() {
            self.later(5_000, Event::Connect(client));
        }
    }
}

/// Short delays and small limits, so that all of them are met.
pub(super) fn policy(random: &mut Random) -> GroupPolicy {
    let mut one_of = |values: &[u32]| *random.pick(values).expect("there are values");
    let policy = GroupPolicy {
        batch_interval_ms: one_of(&[0, 100, 400]),
        activation_delay_ms: one_of(&[0, 300, 1_000]),
        retirement_delay_ms: one_of(&[1_000, 3_000]),
        quorum_percent: one_of(&[50, 95, 100]) as u8,
        rekey_period_s: one_of(&[0, 5, 20]),
        absence_s: one_of(&[5, 15]),
        silence_s: one_of(&[3, 8]),
        member_limit: one_of(&[5, 100, 100]),
        sender_id_bits: one_of(&[3, 4, 8]) as u8,
        registrations_per_identity: one_of(&[1, 2, 4]),
        ..GroupPolicy::default()
    };
    policy
        .validate()
        .expect("the simulator's policies are valid");
    policy
}
