//! The push channel: rekeys as bare datagrams beside QUIC, and what an attacker can and cannot do to it.
//!
//! It makes deliveries cheap and changes nothing else. Whatever it loses or cannot carry goes over QUIC streams as it would
//! without it, and a member that does not speak it lacks nothing but speed. It carries suite 1 today: the header of suite 2
//! does not fit into a datagram.
//!
//! # Where the datagrams run
//!
//! On the UDP sockets of the member's QUIC connection, between the same two addresses. A receiver looks at the first byte (RFC
//! 9443): 4 to 15 is the push channel, 64 and above is QUIC. So neither side may grease the QUIC bit (RFC 9287): a gateway
//! and a member that speak the channel do not offer `grease_quic_bit`. A datagram is at most 1200 bytes.
//!
//! ```text
//!  member                                    gateway
//!    | -- join, a channel is wanted ---------> |
//!    | <-------------- granted, channel number |   or later: open, and opened, on a stream of their own
//!    | <-------------------------------- probe |   until acknowledged: after 250 ms, 500 ms and so on, up to 30 s
//!    | -- acknowledge -----------------------> |   the channel is up, and the member holds what it was granted
//!    |                                         |
//!    | <------------------------- sealed push  |   a rekey, or activate
//!    | -- acknowledge -----------------------> |   of a rekey, once its root is confirmed
//!    | <------------------- the same, unchanged|   where no acknowledgement came: after 200 ms, and 400 ms later
//!    | <----------- push, on a stream of QUIC  |   after another 800 ms; the channel is probed anew
//! ```
//!
//! # Datagrams
//!
//! Integers are big-endian.
//!
//! ```text
//! sealed      = 4 (1) || push key's name (8) || nonce (12) || AES-256-GCM of a push message, with its tag of 16
//! acknowledge = 5 (1) || channel (4) || epoch (8) || code (16)
//! report      = 7 (1) || channel (4) || epoch (8) || code (16)
//! probe       = 6 (1) || channel (4) || any number (8) || code (16)
//! alive       = 8 (1) || channel (4) || any number (8) || code (16)
//! newest      = 9 (1) || channel (4) || epoch (8) || code (16)
//! go-away     = 10 (1) || channel (4) || go-away message || code (16)
//! leaves      = 11 (1) || channel (4) || epoch (8) || code (16)
//! ```
//!
//! - A **report** is an acknowledgement of a member that hears its group's [multicast](super::multicast).
//! - A **push message** is a [`Push::Rekey`](super::super::Push::Rekey) or [`Push::Activate`](super::super::Push::Activate), encoded as on a
//!   stream. What stands before the ciphertext, 21 bytes, is the associated data. The nonce is random.
//! - The message of a **go-away** is a [`Push::GoAway`](super::super::Push::GoAway), encoded as on a stream, of 1179 bytes at most: of
//!   addresses that do not fit the last are left out. It is not read before the code was found right.
//! - The code of a **newest** is over what stands before it and the number of the alive that it answers, which is not sent again.
//! - A **code** is AES-CMAC (RFC 4493, with AES-256) over all that stands before it, under the channel's key: 32 bytes from the TLS
//!   exporter (RFC 8446 section 7.5) of the connection, with the label
//!   [`CHANNEL_LABEL`](super::super::datagram::CHANNEL_LABEL) and the context `group id (16) || member (8) || channel (4)`.
//! - The **push key** of epoch e seals what follows e: the rekey that leads from e to a later epoch, and whatever is said to the
//!   members that hold e. From the root of e a key P is derived (`CBC(root, "WCpush-channel-1" || "WCpush-channel-2")` in
//!   suite 1), and from P by AES-CMAC in counter mode (NIST SP 800-108r1 section 4.1) the push key K:
//!   `CMAC(P, 00000001 || L) || CMAC(P, 00000002 || L)`, with `L = "wardcast push key" || 00 || 00000100`. The key
//!   of AES-256-GCM is `HKDF-SHA256(K, "wardcast/1 push seal", 32)`, and its name `HKDF-SHA256(K, "wardcast/1 push name", 8)`.
//!   The token computes K and tells the gateway; members compute it from the root.
//!
//! # Rules
//!
//! - A channel is opened with a registration where the join says that one is wanted. Who takes a registration up again, is granted none,
//!   or speaks an earlier version, asks for one by open-channel. A join is never refused for want of a channel: granted has none
//!   then, and asking again is of use later at most. Who does not say how it wants its rekeys is granted none.
//! - A member takes a sealed push under a key of an epoch that it holds as if it had come on a stream, and acknowledges with the newest
//!   epoch that it holds. It answers nothing that it cannot open, nor an activate. A rekey that it can open but not use
//!   it does not acknowledge: it pulls, as the spec of [`behaviour`](super::behaviour) says.
//! - A member acknowledges a probe whose code is right. Of a channel that it was granted it does so once the root that the grant led
//!   to is confirmed, so that this acknowledges the grant as well.
//! - A probe may overtake what tells of its channel: a gateway sends the first one as it opens the channel, which of a join is before
//!   the grant is on record. So a member keeps the last few probes that no channel's key vouches for, and answers when it opens the
//!   channel of one. A member that does not is probed again.
//! - A rekey that comes before the first probe of a new channel is acknowledged waits for that, for 100 ms at most, and goes by stream
//!   then; as does one that comes after the second probe was sent.
//! - The channel of a join ends as any with the registration's connection, and at once where the grant is not handed over after all.
//! - An acknowledgement counts when its code is right and its epoch is not newer than the newest that was delivered. It counts for
//!   every epoch up to that one.
//! - A member takes an activate under the push key of the epoch that it names, and no other.
//! - An activate is sent once, to members that may send, and not acknowledged. One that is lost costs no more than the header's
//!   activation delay. A gateway may as well use streams, and does so where the senders are few.
//! - A gateway sends only to the address that QUIC had validated for the connection when it sent the last probe. So a member
//!   whose address changes is found again by the probe that follows what was lost.
//! - A member that holds what was sent to it by datagram, and did not say so by datagram, has it by other means: its channel is
//!   probed anew, and what follows goes by stream until the probe is acknowledged.
//!
//! # Parked members
//!
//! A receiver that gets what it needs by datagram may give its connection up. It asks with
//! [`Park`](super::super::Request::Park) once its channel is up and it holds what was delivered, and closes the connection when it is
//! answered. Who may send keeps its connection: it has to be told when to switch. The channel, its number and its key stay.
//!
//! ```text
//!  member                                    gateway
//!    | -- park, on a stream -----------------> |
//!    | <------------- parked, times, on that   |
//!    |    (the connection is closed)           |
//!    | <------------------------- sealed push  |   and acknowledged as before
//!    | -- alive -----------------------------> |   as often as it was told
//!    | <------------------------------ newest  |
//!    |                                         |
//!    | <----------------------------- go-away  |   when the gateway goes
//!    | -- leaves ----------------------------> |
//!    |    (connects when, and to where, it was told)
//! ```
//!
//! - The member says **alive** at least as often as it was told, and is answered with the **newest** epoch that was delivered. An answer
//!   counts for the last alive alone. It gives the same sign again with another number when it is not answered within a second, two
//!   seconds, and four.
//! - It connects again and resumes, as after any lost connection, when an answer names an epoch that it does not hold, when it cannot
//!   open or use what came, when it is not answered, and whenever it wants anything that needs a connection. If it was not asked to by
//!   its owner it waits before, at random for up to as long as it was told: others may have missed the same.
//! - A gateway answers an alive only when its code is right and it comes from the address that the connection had when the member was
//!   parked. So a member whose address changes is not answered, comes back, and has its new address validated by QUIC.
//! - What a parked member does not acknowledge is sent again as to any, and not by stream: there is none. Its channel is probed.
//! - A parked member that was not heard of for three times as long as it should be is absent, as if its connection were lost.
//!
//! - As a gateway goes it tells parked members by **go-away**, with the same content as the others by stream, and again like a rekey:
//!   after 200 ms, and 400 ms later, where no **leaves** came.
//! - A parked member whose go-away has the right code answers that it leaves, and what it holds, and comes back as the spec of
//!   [`behaviour`](super::behaviour) says of any that is told to go. Until then it takes what comes on the channel, and says no more that it
//!   is alive. Told again it answers again; the time stays the first one. It ignores a go-away as long as it has a connection.
//! - A member of a version without go-away passes it over, and finds out when it is not answered any more.
//!
//! `tests/vectors/channel.json` has a root's push key, sealed pushes, and what is said on a channel.
//!
//! # What an attacker can do
//!
//! | who | can | cannot |
//! | --- | --- | --- |
//! | anyone who sends from a false address | have the receiver look up a name and, if he replays a datagram that he saw, decrypt it once: what is not newer than what is held is acknowledged and otherwise passed over; have a member forget a probe that came early, and answer the next one, a quarter of a second later | make a member verify a signature or believe anything: without a push key nothing opens; make a gateway count an acknowledgement: without the channel's key no code is right |
//! | who replays acknowledgements | have them count again for what they counted for | acknowledge a later epoch, or for another member, group or connection: the code covers epoch and channel, the key the rest |
//! | who replays signs of life, or their answers | have the gateway count a parked member as present and answer it, at the address that it was parked at | have a member believe an old answer: its code is over the number of the last sign of life. Have pushes sent anywhere else |
//! | who replays a go-away, or delivers it late | have a member that is parked still say again that it knows; have it told later, at most until its signs of life are not answered any more | send away one that has come back: its channel is another one, and so is the key. Name another time or address: the code covers both |
//! | who reads a go-away | see where members are sent: it is not encrypted, and their next handshakes name the same hosts | |
//! | who wants an amplifier | nothing: pushes and probes go to validated addresses alone, an answer is as long as what it answers, a probe's goes to the gateway's address, whatever the source said | |
//! | who takes over a member's address | receive sealed pushes until acknowledgements stay away: three datagrams, then none | open them, or acknowledge them |
//! | an evicted member | open the rekey that evicted it, which is sealed under the key of its last epoch: header and edges, which tell it nothing that the signed header's reader must not know; send that one again to others | open what follows: the next push key comes from a root that it cannot compute. Have another header believed: they are signed in the token |
//! | a member | the same with the datagrams of epochs that it holds, and have other members verify signatures of headers that it makes up, one for each datagram that it sends them from the gateway's address | more than that: what does not verify is dropped and not answered |
//! | a member, or an evicted one | nothing with go-aways: no key that members share is good for one, and each has its own channel's alone | send another member away. Even where it could, that one goes as whom it is, wants the certificate to be for the host, takes keys of its issuer alone, and comes back here |
//! | who drops or delays datagrams | make deliveries as slow as QUIC streams and 1.4 seconds more, or 0.1 on a channel that was never up; have the gateway believe for half a second longer, or until it probes again, that who joined lacks what it was granted; one who lets a single probe through and no other datagram, until the next rekey, which goes by stream, or until the policy's silence ends the registration | keep an epoch from a member that QUIC reaches, or, once that is probed again, its acknowledgement from the gateway |
