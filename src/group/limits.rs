//! Every named bound of the core in one place.

/// Children of a tree node.
pub const DEGREE: u32 = 4;
/// Levels of a tree, leaves included: more than four to the power of 15 leaves.
pub const MAX_LEVELS: u8 = 16;
/// A node at this ratchet step is regenerated instead, which bounds what a token derives for one key.
pub const MAX_RATCHET_STEPS: u16 = 128;
/// The greatest message that a member may send, in bytes.
pub const MAX_REQUEST: usize = 12 * 1024;
/// The longest bearer token that a join may present, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;
/// The greatest message that a gateway may send, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// The greatest answer that a member may give to a push, in bytes.
pub const MAX_PUSH_REPLY: usize = 256;
/// The greatest epoch header, in bytes; today's are about 210 in suite 1 and 3460 in suite 2, whose signatures are large.
pub const MAX_HEADER: usize = 4 * 1024;
/// Containers nested in one message, the outermost included.
pub const MAX_DEPTH: usize = 8;
/// The longest name of a group, in bytes of UTF-8.
pub const MAX_GROUP_NAME: usize = 128;
/// Up-edges that are cached for one group: about 6 MiB. A cache only: what is missing is wrapped anew.
pub const MAX_CACHED_EDGES: usize = 65_536;
/// Members that a policy may allow a group: the leaves of a tree of [`MAX_LEVELS`].
pub const MAX_GROUP_MEMBERS: u32 = DEGREE.pow(MAX_LEVELS as u32 - 1);
/// Longest interval that changes of a group are collected for.
pub const MAX_BATCH_INTERVAL_MS: u32 = 60_000;
/// Largest space of sender identifiers, as a power of two.
pub const MAX_SENDER_ID_BITS: u8 = 24;
/// Admission rules of a policy.
pub const MAX_ADMISSION_RULES: usize = 256;
/// Length of an identity pattern in an admission rule.
pub const MAX_PATTERN_BYTES: usize = 512;
/// When whoever asks to join a frozen group may ask again.
pub const FROZEN_RETRY_MS: u64 = 30_000;
/// When whoever was not admitted because the key store upstream is out of reach may ask again.
pub const OUTAGE_RETRY_MS: u64 = 5_000;
/// When whoever was not admitted because a directory or an identity provider cannot be asked may ask again, in milliseconds.
pub const SOURCE_RETRY_MS: u64 = 5_000;
/// Joins of one group that wait for the next change; more are refused as busy.
pub const MAX_WAITING_JOINS: usize = 65_536;
/// Members of one group that wait for their path or grant, one ticket each; more are refused as busy.
pub const MAX_WAITING_PATHS: usize = 131_072;
/// Joins of one change: a larger storm becomes several epochs, so that no record or plan grows without bound.
pub const MAX_JOINS_PER_CHANGE: usize = 16_384;
/// Epochs that there are for joins alone make no more deliveries than so many in a second: in a storm more join with each epoch.
pub const JOIN_DELIVERIES_PER_SECOND: u64 = 2_500;
/// So long joins wait for it at most, from one epoch to the next.
pub const JOIN_PAUSE_MOST_MS: u64 = 2_000;
/// Members whose grants and missing up-edges make up one job of the token.
pub const WAITERS_PER_JOB: usize = 64;
/// Such jobs that one group has with the token at a time: the next ones are computed against a newer tree.
pub const KEY_JOBS_IN_FLIGHT: usize = 4;
/// Wraps of a rekey that make up one job of the token, so that several workers share a large one.
pub const WRAPS_PER_JOB: usize = 512;
/// The first pause after the token or the store failed; it doubles with every failure.
pub const BACKOFF_FIRST_MS: u64 = 250;
/// The longest such pause.
pub const BACKOFF_MOST_MS: u64 = 10_000;
/// Whoever waits longer than this while the token fails is refused, to ask again later.
pub const PATIENCE_MS: u64 = 30_000;
/// What is refused as busy may be asked again after this.
pub const BUSY_RETRY_MS: u64 = 1_000;
/// A rollover is activated later than the policy says by this for each member: so long a token may take to grant the new
/// leaf keys, of which members ask for theirs during the first half of the delay.
pub const ROLLOVER_MS_PER_MEMBER: u64 = 2;
/// The most that a rollover is activated later: ordinary changes wait for it meanwhile.
pub const ROLLOVER_MOST_MS: u64 = 60_000;
/// What is said about an eviction, in bytes of UTF-8; the rest is cut off.
pub const MAX_NOTE: usize = 256;
/// Retiring epochs that a group's status tells of.
pub const MAX_RETIRING: usize = 8;
/// In a group of so many members each acknowledges at once what it hears by multicast; in a larger one they report in their own time.
pub const PROMPT_ACKNOWLEDGEMENTS: u64 = 64;
/// Epochs whose roots a member holds: the one that it sends with and the newest ones.
pub const MAX_HELD_EPOCHS: usize = 3;
/// The longest label of a key that roots are escrowed under, in bytes.
pub const MAX_ESCROW_LABEL: usize = 64;
/// Addresses that members are told to go to when their gateway goes; a member looks at no more.
pub const MAX_AWAY_ADDRESSES: usize = 8;
/// Such an address, in bytes: a name of DNS, a colon and a port.
pub const MAX_ADDRESS: usize = 259;
