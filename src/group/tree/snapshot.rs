//! A tree as one CBOR item, and back: what comes from a disk is checked as if a stranger had written it.
//!
//! ```cddl
//! tree = [version: 1, leaves: [* (generation: uint, member: uint / null)], levels: [+ [* (generation: uint, step: uint)]]]
//! ```
//! Populations are not written: they follow from the leaves, so they cannot be wrong.

use minicbor::data::Type;
use minicbor::decode::{Decode, Decoder, Error};
use minicbor::encode::{self, Encode, Encoder, Write};
use thiserror::Error as ThisError;

use super::{Leaf, NOBODY, Node, Tree};
use crate::group::index;
use crate::group::limits::{DEGREE, MAX_RATCHET_STEPS};

const VERSION: u8 = 1;

/// Why an encoded tree is refused.
#[derive(Debug, ThisError)]
pub enum SnapshotError {
    /// Not CBOR of the right types, or cut short.
    #[error("the tree is not well-formed: {0}")]
    Malformed(#[source] Error),
    /// Bytes follow the tree.
    #[error("{0} bytes follow the tree")]
    Trailing(usize),
    /// Written by another version.
    #[error("the tree has format version {0}, this build reads {VERSION}")]
    Version(u8),
    /// An array without a length, of an odd length, or longer than the bytes that follow.
    #[error("an array of the tree has an impossible length")]
    Length,
    /// More leaves than the tallest tree has.
    #[error("the tree has {0} leaves, more than {max}", max = index::MAX_LEAVES)]
    TooManyLeaves(u64),
    /// A leaf that is someone's but never had a key, or is given to the reserved member id.
    #[error("leaf {0} of the tree cannot be anyone's")]
    Leaf(u32),
    /// The levels are not those that the leaves ask for.
    #[error("level {0} of the tree is not as wide as its leaves ask for")]
    Shape(u8),
    /// A node that stands over members but has no key, or was ratcheted too often.
    #[error("node {index} of level {level} of the tree has an impossible key")]
    Node {
        /// Its level.
        level: u8,
        /// Its place there.
        index: u32,
    },
}

impl From<Error> for SnapshotError {
    fn from(error: Error) -> Self {
        SnapshotError::Malformed(error)
    }
}

impl Tree {
    /// The tree as one CBOR item.
    pub fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads what [`Tree::to_bytes`] wrote. Takes time and memory in proportion to the input, whatever it holds.
    ///
    /// # Errors
    /// When the input is anything else; the error says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut decoder = Decoder::new(bytes);
        let tree = read(&mut decoder)?;
        match bytes.len() - decoder.position() {
            0 => Ok(tree),
            trailing => Err(SnapshotError::Trailing(trailing)),
        }
    }
}

impl<C> Encode<C> for Tree {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.u8(VERSION)?;
        e.array(2 * self.leaves.len() as u64)?;
        for &Leaf {
            occupant,
            generation,
        } in &self.leaves
        {
            e.u32(generation)?;
            match occupant {
                NOBODY => e.null()?,
                member => e.u64(member)?,
            };
        }
        e.array(self.levels.len() as u64)?;
        for level in &self.levels {
            e.array(2 * level.len() as u64)?;
            for node in level {
                e.u32(node.generation)?.u16(node.step)?;
            }
        }
        Ok(())
    }
}

/// As a part of a larger item; the error's source is the [`SnapshotError`].
impl<'b, C> Decode<'b, C> for Tree {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        read(d).map_err(Error::custom)
    }
}

/// The length of an array of pairs, in pairs: no more than the bytes that are left can hold.
fn pairs(d: &mut Decoder<'_>) -> Result<usize, SnapshotError> {
    let length = d.array()?.ok_or(SnapshotError::Length)?;
    let left = d.input().len() - d.position();
    match usize::try_from(length) {
        Ok(length) if length.is_multiple_of(2) && length <= left => Ok(length / 2),
        _ => Err(SnapshotError::Length),
    }
}

fn read(d: &mut Decoder<'_>) -> Result<Tree, SnapshotError> {
    if d.array()? != Some(3) {
        return Err(SnapshotError::Length);
    }
    match d.u8()? {
        VERSION => {}
        other => return Err(SnapshotError::Version(other)),
    }
    let leaves = read_leaves(d)?;
    let height = index::height_for(leaves.len() as u32)
        .ok_or(SnapshotError::TooManyLeaves(leaves.len() as u64))?;
    if d.array()? != Some(u64::from(height)) {
        return Err(SnapshotError::Shape(height));
    }
    let mut levels: Vec<Vec<Node>> = Vec::with_capacity(usize::from(height));
    let mut width = leaves.len();
    for level in 1..=height {
        width = width.div_ceil(DEGREE as usize).max(1);
        let populations: Vec<u32> = match levels.last() {
            None => sums(leaves.iter().map(|l| u32::from(l.occupant != NOBODY))),
            Some(below) => sums(below.iter().map(|node| node.population)),
        };
        levels.push(read_level(d, level, width, &populations)?);
    }
    Ok(Tree { leaves, levels })
}

/// The populations of a level from those below it.
fn sums(below: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut sums = Vec::new();
    for (index, population) in below.enumerate() {
        match sums.last_mut() {
            Some(sum) if !index.is_multiple_of(DEGREE as usize) => *sum += population,
            _ => sums.push(population),
        }
    }
    sums
}

fn read_leaves(d: &mut Decoder<'_>) -> Result<Vec<Leaf>, SnapshotError> {
    let count = pairs(d)?;
    if count > index::MAX_LEAVES as usize {
        return Err(SnapshotError::TooManyLeaves(count as u64));
    }
    let mut leaves = Vec::with_capacity(count);
    for index in 0..count as u32 {
        let generation = d.u32()?;
        let occupant = match d.datatype()? {
            Type::Null => {
                d.null()?;
                NOBODY
            }
            _ => match d.u64()? {
                NOBODY => return Err(SnapshotError::Leaf(index)),
                _ if generation == 0 => return Err(SnapshotError::Leaf(index)),
                member => member,
            },
        };
        leaves.push(Leaf {
            occupant,
            generation,
        });
    }
    Ok(leaves)
}

fn read_level(
    d: &mut Decoder<'_>,
    level: u8,
    width: usize,
    populations: &[u32],
) -> Result<Vec<Node>, SnapshotError> {
    if pairs(d)? != width {
        return Err(SnapshotError::Shape(level));
    }
    let mut nodes = Vec::with_capacity(width);
    for index in 0..width {
        let generation = d.u32()?;
        let step = d.u16()?;
        // A tree that was never used has a root and no leaves.
        let population = populations.get(index).copied().unwrap_or(0);
        let unkeyed = generation == 0 && (population > 0 || step > 0);
        if unkeyed || step > MAX_RATCHET_STEPS {
            return Err(SnapshotError::Node {
                level,
                index: index as u32,
            });
        }
        nodes.push(Node {
            generation,
            population,
            step,
        });
    }
    Ok(nodes)
}
