//! Rekeys by IP multicast: what is sent once for all, how a member that missed it finds out, and how the gateway learns who has what.
//!
//! An addition to the [push channel](super::channel), after the model of RFC 9838 section 2.4.1: push by multicast, repair by
//! unicast. A group's policy may name a multicast address. Who does not listen there, or hears nothing, is served as ever.
//!
//! ```text
//!  member                                    gateway                             all who listen
//!    | -- open, on a stream -----------------> |                                       |
//!    | <- opened; address, times ------------- |                                       |
//!    |  joins the group                        | -- heartbeat, every heartbeat time -> |
//!    | -- report ----------------------------> |   no more datagrams to this member    |
//!    |                                         | -- packets of a rekey --------------> |
//!    |                                         | -- the same, unchanged, again ------> |
//!    | -- report, once in a report's time ---> |                                       |
//!    |  heartbeat tells of more than is held   |                                       |
//!    |  ... waits, at random                   |                                       |
//!    | -- pull, on a stream -----------------> |                                       |
//!    | <- key-set with the path -------------- |                                       |
//!    |  five heartbeats did not come           |                                       |
//!    | -- open, on a stream -----------------> |   datagrams to this member again      |
//! ```
//!
//! # What is sent to the address
//!
//! Sealed datagrams of the push channel, to the UDP port that the policy names. They come from any address and port.
//!
//! - A **packet** ([`Push::Packet`](super::super::Push::Packet)) is a rekey for the members of the leaves from *first* to *last*: all
//!   edges that any of them needs. The packets of one rekey share out all leaves, so each member needs one of them to arrive.
//!   It is sealed under the push key of the epoch before, and sent again unchanged, after pauses that the gateway chooses.
//! - A **heartbeat** ([`Push::Heartbeat`](super::super::Push::Heartbeat)) tells the newest epoch that was delivered. It is sealed under
//!   the push key of that epoch, and in datagrams of its own under those of the two before: whoever is a rekey behind can open
//!   one. It comes every *heartbeat* time, as `channel-opened` tells it, and is the same until the next rekey.
//! - An **activate** as on the channel, sealed under the push key of the epoch that it names.
//!
//! # Rules for members
//!
//! - Only what the push key of the newest epoch that is held opens is looked at, and counts as heard.
//! - A packet of a newer epoch with the member's leaf is taken as a rekey. It is not acknowledged, unless the header tells of
//!   [64](crate::group::limits::PROMPT_ACKNOWLEDGEMENTS) members or fewer.
//! - A heartbeat, or a packet without the member's leaf, that tells of a newer epoch than is held: unless that has come by then, the member
//!   pulls at a time drawn evenly from the heartbeat time that begins *settle* later, when the last repetition must have come.
//!   So most who miss the first packet ask nothing, and those who must do not ask together. The gateway answers so many pulls of a group in a second,
//!   and has the others come back (refused 128).
//! - A pull that brings no epoch as new as was claimed shows a lie: for 30 seconds nothing that is heard is believed to be newer. The same after
//!   three packets that do not verify, or do not open.
//! - What was heard first it **reports**, within a heartbeat time, and then at times that are between half of the *report* time and the whole
//!   apart, drawn evenly: the datagram `report` of the channel, with the newest epoch that is held. A report is not answered.
//! - When nothing was heard for five heartbeat times, and a random part of five more, the member opens its channel anew and pulls at a random time within
//!   the next. It goes on listening, and reports again once it hears something.
//!
//! # How the gateway knows who has what
//!
//! A report counts as an acknowledgement does, and says besides that the member needs no datagrams of its own. That holds until its channel
//! is closed, as it is by a new one, or three report times bring no report. Once in a report's time the gateway looks at all who
//! listen: who has reported, but not what was delivered before the last look, is sent the newest epoch by stream.
//!
//! So reports come at a steady rate that does not depend on rekeys, and what is sent for a rekey is the same for ten members as for ten thousand.
//! The price is that in a large group acknowledgements come late: an epoch is then activated after its activation delay rather than by its quorum,
//! and a member counts as behind until it has reported. Nobody counts as having what it did not say that it has.
//!
//! # What an attacker can do
//!
//! Besides what stands in [`channel`](super::channel):
//!
//! | who | can | cannot |
//! | --- | --- | --- |
//! | anyone who sends to the address | have receivers look up a name, and decrypt what he replays; it is older than what is held, and passed over | make a member verify, believe or ask anything: it has no push key |
//! | an evicted member that still listens | open the rekey that evicts it, whose edges are wrapped under keys that it does not have, and the heartbeats that those who are still behind it can open. Until a member has that rekey: make up heartbeats and packets for it | open anything that follows; say anything to who has the rekey, as only the newest push key counts. Have a header believed |
//! | a member | make up heartbeats and packets for all the others: each asks once, at a time of its own, and verifies three signatures, in half a minute. Have members overlook rekeys by flooding the address | have a header believed; keep a rekey from a member for longer than until the next look: the gateway sees that it does not report it |
//! | who replays heartbeats and drops the rest | keep a member from noticing that it misses something | hide that from the gateway: its reports name the old epoch, or do not come |
//! | who replays reports | have them count again for the same epoch on the same channel, and so keep datagrams away from a member whose multicast he drops | do so once the member has opened its channel anew, which it does when the group is silent: codes are bound to the channel |
//! | who drops what is multicast | make every member ask by QUIC, spread over the heartbeat time and at the gateway's pace, then turn to datagrams | keep an epoch from a member that QUIC reaches |
