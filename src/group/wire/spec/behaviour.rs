//! The states of a registration and of a group, who does what when, and what goes wrong.
//!
//! # A registration, as the member sees it
//!
//! ```text
//!              join                    granted, tag right
//!   (nothing) ------> asking ---------------------------------> current <------------------+
//!       ^               |                                        |    |                    |
//!       |               | refused                                |    | rekey it cannot    | key-set or
//!       +---------------+                                        |    | open, activate it  | path, tag right
//!       |                                             connection |    | does not hold      |
//!       |                                                   lost |    v                    |
//!       |  refused 5 or 10                                       |  behind ---- pull -------+
//!       +------------------ away <-------------------------------+    |                    |
//!       |                    |                                        | connection lost    |
//!       |                    | connects: resume                       v                    |
//!       |                    +------------------> resuming         away                    |
//!       |                                            |                                     |
//!       |                                            +-------------------------------------+
//!       |
//!       +--- removed, or left, in any state: erase every key of the registration
//! ```
//!
//! - *current*: it holds the newest epoch that it heard of. *behind*: it does not, and uses what it holds meanwhile.
//! - *away*: without a connection. It keeps its keys and goes on using them until it is told otherwise or their
//!   retirement passed; it reconnects with growing pauses and resumes. Losing a connection is not leaving; how long
//!   absence is borne is the group's policy.
//! - After a granted, path or key-set it sends acknowledge with the newest epoch that it then holds, new to it or not: a
//!   gateway that was restarted does not know. A member that asks for a channel may tell it with that instead, in one
//!   request; if that is refused, by an acknowledge. One whose grant brought a channel tells it by its answer to the
//!   channel's first probe, and by an acknowledge where no probe came within half a second, or once a second one comes,
//!   however late: its answer was not heard then. After a rekey or activate the ack says it.
//! - Without an answer a request is asked again, first after a second, then after twice as long each time, up to a
//!   minute, or after the time that a refused gives. Resume, leave, pull, status and acknowledge may be repeated
//!   freely. A join whose answer was lost may leave a registration behind that nobody uses; policy ends it (removed 4,
//!   or 7).
//!
//! # When a gateway goes
//!
//! A gateway that goes says so by go-away, with a time that is another for each member, so that they do not come at one
//! moment, and closes with the code of draining. Who is parked is told [by datagram](super::channel). It may name gateways to go to. A member tries these in the order given, each with the
//! host's name or address as the name that the certificate must have, under the trust that it has anyway; then the gateway
//! that it was told of by whoever runs it, then these again, with growing pauses. What serves it is where it comes back to from
//! then on. A named gateway is trusted no more than the one that named it: it needs a certificate, and keys are
//! the issuer's. Names of more than the bound, and what is no address, are passed over. A member of a version without the field
//! comes back here.
//!
//! # Rollovers
//!
//! After a rollover every member asks for its new leaf key, by a pull with an offer. So that the gateway's token is not
//! asked for all of them at once, the epoch's activation delay is longer, the more members there are, and a member asks
//! at a random time during the first half of it; or at once when activate tells it that senders switch to an epoch that
//! it does not hold. Until it is answered it uses the epochs that it holds; refused with 128 or more, or not answered, it
//! asks again as for any repair. The retirement delay of such an epoch is at least its activation delay. A member that was
//! away finds out when it resumes, and is granted its leaf key in the answer.
//!
//! An eviction that follows before everybody has asked is delivered and activated as any eviction: its own delay is short,
//! and whoever has not been granted its leaf key by then receives nothing until it is. That is the price of an eviction
//! that takes effect.
//!
//! # Deliveries in any order
//!
//! Streams overtake each other, and a gateway drops what is queued for a member when something newer comes. So:
//!
//! - A rekey of an epoch that is not newer than the newest held is acked with that one and otherwise ignored.
//! - Epochs may be skipped: a delivery is complete in itself, or the member finds that it is not and pulls.
//! - An activate of an epoch that the member holds is obeyed, unless a newer one is active already. One of an epoch that
//!   is newer than all it holds is nacked with 1, and the member pulls. One that it passed over changes nothing: the
//!   newer epoch that it holds has a clock of its own. It is acked as the first.
//! - Of several pulls at once, one is enough: while one is under way, a member sends no second one for the same group.
//!
//! # A group, as the gateway sees it
//!
//! ```text
//!            change: join, leave, eviction, rotation, rollover
//!   steady -----------------------------------------> collecting
//!     ^                                                 |  batch interval over, or an urgent eviction
//!     |                                                 v
//!     |                                              staged ---- store refuses: undone, asked again
//!     |                                                 |  on record
//!     |                                                 v
//!     |                                              sealing --- token fails: asked again
//!     |                                                 |  wrapped, tagged, signed
//!     |   quorum acknowledged, or                       v
//!     +-------- activation delay passed ----------- delivered      rekey to all that are connected,
//!            activate to senders                        |          grants to those who joined
//!                                                       +--- a newer epoch takes its place: this one
//!                                                            is never activated by itself
//! ```
//!
//! An ordinary change waits until the epoch before it is active; an urgent eviction does not, and takes along what was
//! not delivered yet. Joins alone wait, in a large group, until they and the epochs before them make no more than 2,500
//! deliveries a second, for 2 s at most: a storm of joins shares epochs. Nothing is sent before it is on record: an epoch that a member has seen survives the gateway.
//! After a restart no epoch is in flight: the newest on record counts as active, and members resume. Its header is sealed
//! again, so the same epoch may come with another signature; everything else of it is the same.
//!
//! # Timing
//!
//! Senders and receivers follow different clocks (RFC 9838 section 4.4.3.1.1). Epoch e is *received* when its tag was
//! confirmed; the delays are those of e's header.
//!
//! | who | when | does |
//! | --- | --- | --- |
//! | receivers | e is received | accept traffic of e beside that of the epochs before |
//! | senders | activate(e), or activation delay after e was received | send with e, and never again with an earlier one |
//! | receivers | a rekey says that e is active, or activation delay after e was received | take e for active |
//! | all | when e is active | begin the retirement delay of all epochs before e |
//! | all | retirement delay later | erase the roots and all exported keys of those epochs |
//!
//! An epoch that comes in a path (granted, path, key-set) and equals the path's active epoch is active at once;
//! otherwise it is received like any other. A member that joined while its first epoch is not yet active receives what
//! others send from the activation on: it never held the epoch before. When e and then e' are received before e is
//! active, only e' becomes active, and e is retired with the ones before: the delay counts from e', but ends at the
//! latest twice the delay after e was received, so that epochs which keep coming cannot put it off for ever. Delays run
//! on while a member is away. Activate goes to members that may send, and costs the others nothing: a receiver that is not told
//! keeps what went before a little longer. Every rekey says which epoch was active as it was delivered; a member
//! believes that before it installs the new one, and so never drops what senders still use. One that is not older than the
//! rekey itself is not believed. A member holds [`MAX_HELD_EPOCHS`](crate::group::limits::MAX_HELD_EPOCHS) epochs (3) at
//! most: beyond that the oldest go, the active one excepted.
//!
//! Keys of nodes are not epochs: a member holds them, as [keys](super::keys) says, until a delivery replaces them.
//!
//! ```text
//!  e received      activate(e), or             retirement delay
//!      |           activation delay                  |
//!      v                 v                           v
//!  ----+-----------------+---------------------------+---------> time
//!      |<-- e - 1 sends->|<-------- e sends ------------- ...
//!      |<-------- e - 1 and e are received --------->|<--- e is received ...
//! ```
//!
//! # What goes wrong
//!
//! - *A malformed request* is answered by refused 1 (too large: 11), and costs the member that exchange alone. Whoever
//!   sends many is closed with 1.
//! - *A malformed response or push* is a faulty gateway: the member closes with 1 and reconnects after a pause.
//! - *An unknown kind of request* is refused with 1; an unknown kind of push is reset with 1, and the connection goes
//!   on: a later version may push more.
//! - *A push without a reply* is repeated, as a newer delivery if there is one; a member that never replies is removed
//!   with 4, when the policy says so.
//! - *A header that does not verify* is nacked with 2. Relays and caches are not trusted: only the issuer's signature
//!   counts.
//! - *Too much at once*: refused 128 with a time; connections beyond a bound are not accepted (3); handshakes
//!   that pile up have to prove their address first (QUIC Retry), and wait for their turn. One that would wait for more
//!   than a few seconds is refused by QUIC (`CONNECTION_REFUSED`): try again after a second or more, not at once.
