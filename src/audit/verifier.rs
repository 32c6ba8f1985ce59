//! Lines of a trail, one after the other: each must follow, and what claims to be a signature must be one.

use std::collections::VecDeque;

use super::chain::{Chain, Digest, Fault, Record};
use super::event::Event;
use super::signature::Signature;
use crate::crypto::Fingerprint;

/// Records that may stand between a signature and the newest record that it covers: so many digests are remembered. Whoever has
/// trails signed discards a signature that took the token so long, and asks for another.
pub const MAX_UNSIGNED: usize = 1 << 16;
/// Keys of signatures that are listed, where none are pinned.
pub const MAX_ISSUERS: usize = 64;

/// What signatures say of the lines that they stand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// How many there are. All of them verify.
    pub count: u64,
    /// The last record that one of them covers, and with it all before; none if none does.
    pub up_to: Option<u64>,
    /// Whose they are, in the order in which they came first; [`MAX_ISSUERS`] at most.
    pub issuers: Vec<Fingerprint>,
    /// Whether these are keys that the verifier was told to trust. Otherwise they are what the trail itself names, and whoever
    /// wrote another trail could have signed it with a key of his own.
    pub pinned: bool,
}

/// What some lines hold that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VerifiedLines {
    /// The number of the first record.
    pub(super) first: u64,
    /// The number of the last.
    pub(super) last: u64,
    /// The SHA-256 of the last line.
    pub(super) head: Digest,
    /// What signatures say.
    pub(super) signatures: Signatures,
}

/// Checks lines of a trail as they come. It may go on from batch to batch of one trail.
///
/// A signature covers a record some lines before its own. Where that is before the first line that the verifier was given, or the
/// one before that, the signature is checked, but says nothing of these lines.
pub(super) struct Verifier {
    /// None before the first line.
    chain: Option<Chain>,
    /// What the first line must name as the digest of the line before; anything if none.
    previous: Option<Digest>,
    first: u64,
    trusted: Vec<Fingerprint>,
    /// Digests of the newest lines, the last one last; and before the first, that of the line before it.
    recent: VecDeque<Digest>,
    signatures: Signatures,
    /// The record that the last signature covers, whether or not it is among these lines.
    covered: u64,
}

impl Verifier {
    /// Begins after the line with that digest, or anywhere. Signatures must be by one of these keys, if there are any.
    pub(super) fn new(previous: Option<Digest>, issuers: &[Fingerprint]) -> Self {
        Verifier {
            chain: None,
            previous,
            first: 1,
            trusted: issuers.to_vec(),
            recent: VecDeque::new(),
            signatures: Signatures {
                pinned: !issuers.is_empty(),
                ..Signatures::default()
            },
            covered: 0,
        }
    }

    /// Takes the next line, without its line feed.
    ///
    /// # Errors
    /// When it does not follow, or is a signature that is none. Then the verifier is of no more use.
    pub(super) fn follow(&mut self, line: &[u8]) -> Result<Record, Fault> {
        let chain = match &mut self.chain {
            Some(chain) => chain,
            none => {
                let mut chain = Chain::from_first(line)?;
                self.first = chain.next;
                chain.head = self.previous.unwrap_or(chain.head);
                self.recent.push_back(chain.head);
                none.insert(chain)
            }
        };
        let record = chain.follow(line)?;
        if let Event::Signed(signature) = &record.entry.event {
            self.signed(record.sequence, signature)?;
        }
        if self.recent.len() > MAX_UNSIGNED {
            self.recent.pop_front();
        }
        self.recent
            .extend(self.chain.as_ref().map(|chain| chain.head));
        Ok(record)
    }

    /// A record is a signature; the line before it is the newest that is remembered.
    fn signed(&mut self, sequence: u64, signature: &Signature) -> Result<(), Fault> {
        let (up_to, issuer) = (signature.up_to, signature.fingerprint());
        if self.signatures.pinned && !self.trusted.contains(&issuer) {
            return Err(Fault::Stranger { sequence, issuer });
        }
        if !signature.verifies() {
            return Err(Fault::Forged { sequence, up_to });
        }
        let misplaced = |why| Fault::OutOfPlace {
            sequence,
            up_to,
            why,
        };
        if up_to >= sequence {
            return Err(misplaced("that comes only after it"));
        }
        if up_to <= self.covered {
            return Err(misplaced("an earlier one covers that already"));
        }
        self.covered = up_to;
        let back = usize::try_from(sequence - up_to).unwrap_or(usize::MAX);
        match self
            .recent
            .len()
            .checked_sub(back)
            .map(|at| self.recent[at])
        {
            Some(found) if found != signature.head => {
                let signed = signature.head;
                return Err(Fault::OtherHead {
                    sequence,
                    up_to,
                    signed,
                    found,
                });
            }
            // The line before the first: it was given, and not checked.
            Some(_) if up_to >= self.first => self.signatures.up_to = Some(up_to),
            None if up_to >= self.first => {
                return Err(misplaced("no gateway signs so late"));
            }
            _ => {}
        }
        let known = &mut self.signatures.issuers;
        if known.len() < MAX_ISSUERS && !known.contains(&issuer) {
            known.push(issuer);
        }
        self.signatures.count += 1;
        Ok(())
    }

    /// The number of the next record; none before the first line.
    pub(super) fn next(&self) -> Option<u64> {
        self.chain.as_ref().map(|chain| chain.next)
    }

    /// What the lines hold so far; none before the first.
    pub(super) fn verified(&self) -> Option<VerifiedLines> {
        let chain = self.chain.as_ref()?;
        Some(VerifiedLines {
            first: self.first,
            last: chain.next - 1,
            head: chain.head,
            signatures: self.signatures.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
