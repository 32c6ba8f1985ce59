//! Who holds which epoch's secret: members write a fingerprint of it here, and the demo compares.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::group::ids::Epoch;

/// A digest of a key exported from an epoch: equal for two members exactly if their secrets are.
pub(super) type Fingerprint = [u8; 32];

/// Fingerprints by epoch and by member (its number in the demo).
#[derive(Default)]
pub(super) struct Ledger {
    epochs: BTreeMap<Epoch, HashMap<usize, Fingerprint>>,
}

impl Ledger {
    /// A member computed an epoch's secret.
    pub(super) fn write(&mut self, member: usize, epoch: Epoch, fingerprint: Fingerprint) {
        self.epochs
            .entry(epoch)
            .or_default()
            .insert(member, fingerprint);
    }

    /// How many of `members` hold this epoch's secret.
    pub(super) fn holders(&self, epoch: Epoch, members: impl Iterator<Item = usize>) -> usize {
        let Some(held) = self.epochs.get(&epoch) else {
            return 0;
        };
        members.filter(|member| held.contains_key(member)).count()
    }

    /// How many epochs anyone held, and how many secrets were computed in all.
    pub(super) fn totals(&self) -> (usize, usize) {
        (
            self.epochs.len(),
            self.epochs.values().map(HashMap::len).sum(),
        )
    }

    /// All members agree on every epoch, no two epochs share a secret, and nobody of `outsiders` holds one after its last epoch.
    pub(super) fn check(&self, outsiders: &[(usize, Epoch)]) -> Result<(), String> {
        let mut secrets = HashSet::new();
        for (epoch, held) in &self.epochs {
            let distinct: HashSet<&Fingerprint> = held.values().collect();
            if distinct.len() > 1 {
                return Err(format!(
                    "epoch {epoch}: {} members hold {} different secrets",
                    held.len(),
                    distinct.len()
                ));
            }
            if !distinct
                .into_iter()
                .all(|fingerprint| secrets.insert(*fingerprint))
            {
                return Err(format!("epoch {epoch} has the secret of an earlier one"));
            }
            for (member, last) in outsiders {
                if epoch > last && held.contains_key(member) {
                    return Err(format!(
                        "member {member} was outside after epoch {last}, yet holds epoch {epoch}"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(entries: &[(usize, u64, u8)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (member, epoch, secret) in entries {
            ledger.write(*member, Epoch(*epoch), [*secret; 32]);
        }
        ledger
    }

    #[test]
    fn agreement_passes() {
        let ledger = ledger(&[(1, 1, 9), (2, 1, 9), (1, 2, 8)]);
        assert_eq!(ledger.check(&[(2, Epoch(1))]), Ok(()));
        assert_eq!(ledger.holders(Epoch(1), 0..5), 2);
        assert_eq!(ledger.totals(), (2, 3));
    }

    #[test]
    fn disagreement_repetition_and_outsiders_are_seen() {
        assert!(ledger(&[(1, 1, 9), (2, 1, 7)]).check(&[]).is_err());
        assert!(ledger(&[(1, 1, 9), (1, 2, 9)]).check(&[]).is_err());
        assert!(
            ledger(&[(1, 1, 9), (2, 1, 9), (2, 2, 8)])
                .check(&[(2, Epoch(1))])
                .is_err()
        );
    }
}
