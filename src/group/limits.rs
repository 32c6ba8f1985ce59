//! Every named bound of the core in one place.

/// Children of a tree node.
pub const DEGREE: u32 = 4;
/// Levels of a tree, leaves included: more than four to the power of 15 leaves.
pub const MAX_LEVELS: u8 = 16;
/// A node at this ratchet step is regenerated instead, which bounds what a token derives for one key.
pub const MAX_RATCHET_STEPS: u16 = 128;
