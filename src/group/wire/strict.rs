//! One pass over a received item that refuses everything but deterministic CBOR, before anything is built from it.
//!
//! Rules (RFC 8949 section 4.2.1, and narrower): definite lengths only; every length and integer in its shortest
//! form; map keys are unsigned integers in ascending order, hence none twice; text is UTF-8; of the simple values only
//! `false`, `true` and `null`; neither floats nor tags; at most [`MAX_DEPTH`] nested containers; nothing after the item.
//! A claimed length is never trusted: the pass allocates nothing and takes time linear in the bytes that are there.

use super::codec::Fault;
use crate::group::limits::MAX_DEPTH;

/// Where and why an item is refused.
pub(super) type Refused = (usize, Fault);

/// Checks that `bytes` is exactly one item that follows the module's rules.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refused> {
    let mut walk = Walk { bytes, at: 0 };
    let mut open = Open::default();
    loop {
        walk.item(&mut open)?;
        if open.close_finished() {
            break;
        }
    }
    match walk.at {
        at if at == bytes.len() => Ok(()),
        at => Err((at, Fault::Trailing)),
    }
}

/// The containers that are open around the item that comes next.
#[derive(Default)]
struct Open {
    levels: [Level; MAX_DEPTH],
    depth: usize,
}

/// One open container.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Items that are still to come, a map's keys among them.
    left: u64,
    /// For a map: the key before, so that the next one can be seen to be greater.
    keys: Option<Keys>,
}

#[derive(Clone, Copy, Default)]
struct Keys {
    last: Option<u64>,
}

impl Open {
    fn open(&mut self, at: usize, left: u64, keys: Option<Keys>) -> Result<(), Refused> {
        let level = self
            .levels
            .get_mut(self.depth)
            .ok_or((at, Fault::TooDeep))?;
        *level = Level { left, keys };
        self.depth += 1;
        Ok(())
    }

    /// Whether the next item is a key of a map.
    fn expects_key(&self) -> bool {
        self.top()
            .is_some_and(|level| level.keys.is_some() && level.left.is_multiple_of(2))
    }

    fn top(&self) -> Option<&Level> {
        self.depth
            .checked_sub(1)
            .and_then(|top| self.levels.get(top))
    }

    fn top_mut(&mut self) -> Option<&mut Level> {
        self.depth
            .checked_sub(1)
            .and_then(|top| self.levels.get_mut(top))
    }

    /// Counts an item that begins, against the container it is in.
    fn begin(&mut self) {
        if let Some(level) = self.top_mut() {
            level.left -= 1;
        }
    }

    /// Closes what is complete; true once nothing is open.
    fn close_finished(&mut self) -> bool {
        while self.top().is_some_and(|level| level.left == 0) {
            self.depth -= 1;
        }
        self.depth == 0
    }
}

struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Walk<'_> {
    fn item(&mut self, open: &mut Open) -> Result<(), Refused> {
        let start = self.at;
        let key = open.expects_key();
        let initial = self.take(1)?[0];
        let (major, info) = (initial >> 5, initial & 0x1f);
        open.begin();
        if key {
            return self.key(start, major, info, open);
        }
        match major {
            0 | 1 => self.argument(start, info).map(drop),
            2 => {
                let length = self.argument(start, info)?;
                self.take(length).map(drop)
            }
            3 => {
                let length = self.argument(start, info)?;
                let text = self.take(length)?;
                std::str::from_utf8(text)
                    .map(drop)
                    .map_err(|_| (start, Fault::NotText))
            }
            4 => {
                let items = self.argument(start, info)?;
                self.fits(items)?;
                open.open(start, items, None)
            }
            5 => {
                let entries = self.argument(start, info)?;
                let items = entries.saturating_mul(2);
                self.fits(items)?;
                open.open(start, items, Some(Keys::default()))
            }
            7 if matches!(info, 20..=22) => Ok(()),
            _ => Err((start, Fault::Forbidden)),
        }
    }

    fn key(&mut self, start: usize, major: u8, info: u8, open: &mut Open) -> Result<(), Refused> {
        if major != 0 {
            return Err((start, Fault::Key));
        }
        let key = self.argument(start, info)?;
        let Some(Level {
            keys: Some(keys), ..
        }) = open.top_mut()
        else {
            return Err((start, Fault::Key));
        };
        match keys.last {
            Some(last) if last == key => Err((start, Fault::DuplicateKey(key))),
            Some(last) if last > key => Err((start, Fault::KeyOrder)),
            _ => {
                keys.last = Some(key);
                Ok(())
            }
        }
    }

    /// The argument of an initial byte, in its shortest form.
    fn argument(&mut self, start: usize, info: u8) -> Result<u64, Refused> {
        let (bytes, least) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err((start, Fault::NotDeterministic)),
        };
        let value = self
            .take(bytes)?
            .iter()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        if value < least {
            return Err((start, Fault::NotDeterministic));
        }
        Ok(value)
    }

    /// Each item takes a byte at least: a claim of more items than bytes are left is refused at once.
    fn fits(&self, items: u64) -> Result<(), Refused> {
        match usize::try_from(items) {
            Ok(items) if items <= self.bytes.len() - self.at => Ok(()),
            _ => Err((self.bytes.len(), Fault::Truncated)),
        }
    }

    fn take(&mut self, length: u64) -> Result<&[u8], Refused> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let taken = &self.bytes[self.at..self.at + length];
                self.at += length;
                Ok(taken)
            }
            _ => Err((self.bytes.len(), Fault::Truncated)),
        }
    }
}
