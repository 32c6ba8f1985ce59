//! Every message as a CDDL (RFC 8610), and what each means.
//!
//! ```cddl
//! message = request / response / push / push-reply
//!
//! ; ---- a member opens the stream ----------------------------------------------------------------
//! request = join / resume / leave / pull / status / acknowledge / open-channel / park
//!
//! join        = [1, {0: group-name, 1: role, ? 2: point, 3: [+ suite-number], ? 4: hybrid-key,
//!                   ? 5: token, ? 6: bool, more}]          ; 6: a push channel is wanted besides; absent is no
//! resume      = [2, {0: group-name, 1: member, 2: key-ref, 3: epoch, ? 4: offer, more}]
//! leave       = [3, {0: group-name, 1: member, more}]
//! pull        = [4, {0: group-name, 1: member, 2: epoch, ? 3: offer, ? 4: key-ref, more}]
//! status      = [5, {0: group-name, more}]
//! acknowledge = [6, {0: group-name, 1: member, 2: epoch, more}]
//! open-channel = [7, {0: group-name, 1: member, ? 2: epoch, more}]  ; 2: acknowledged besides
//! park        = [8, {0: group-name, 1: member, more}]
//! offer       = {? 1: point, ? 2: hybrid-key, more}  ; by the suite's number: one at least
//!
//! response = granted / path / left / key-set / status-report / refused / acknowledged / channel-opened / parked
//!
//! granted = [16, {
//!   0: group-id,
//!   1: suite,
//!   2: member,
//!   3: role,
//!   4: key-ref,               ; the member's leaf key
//!   5: wrapped-key,           ; that key, wrapped for the request's public key of this suite
//!   6: signing-key,           ; the issuer's: verifies headers
//!   7: agreement-key,         ; the issuer's: the other side of the key agreement
//!   8: path-body,
//!   ? 9: bytes .size 1088,    ; suite 2: ML-KEM-768's ciphertext; absent in suite 1
//!   ? 10: channel-body,       ; to a join: the push channel that was opened besides
//!   more
//! }]
//! path    = [17, path-body]
//! path-body = {
//!   0: header-bytes,
//!   1: [* edge],              ; from the member's leaf to the root, in that order
//!   2: epoch,                 ; the active epoch: the header's own or an earlier one
//!   3: [* uint .size 4],      ; the member's sender identifiers; empty for receivers
//!   4: uint .size 4,          ; the sender space that they are of
//!   more
//! }
//! left    = [18, {0: member, more}]
//! key-set = [19, {0: [+ key-state], 1: path-body, more}]
//! key-state = {
//!   0: epoch,
//!   1: uint .size 4,          ; security parameter index
//!   2: suite,
//!   3: uint,                  ; milliseconds until it is active at the latest; 0 once it is
//!   ? 4: uint,                ; seconds until the next scheduled rekey; absent when none is
//!   5: bool,                  ; active
//!   more
//! }
//! status-report = [20, {
//!   0: epoch,                 ; the newest
//!   1: epoch,                 ; the active one
//!   2: uint,                  ; members
//!   3: uint,                  ; members that acknowledged the newest
//!   more
//! }]
//! refused = [21, {
//!   0: reason,                ; table below
//!   1: tstr,                  ; the same in words, for people
//!   ? 2: uint,                ; milliseconds after which to ask again
//!   more
//! }]
//! acknowledged = [22, {0: epoch, more}]
//! channel-opened = [23, channel-body]
//! channel-body = {
//!   0: uint .size 4,          ; the channel's number
//!   ? 1: multicast-offer,     ; where rekeys can be heard besides
//!   more
//! }
//! multicast-offer = {
//!   0: multicast-address,
//!   1: uint .size 4,          ; milliseconds between two heartbeats
//!   2: uint .size 4,          ; milliseconds within which a member that listens reports
//!   3: uint .size 4,          ; milliseconds from a rekey to its last repetition
//!   more
//! }
//! multicast-address = [ip-4, udp-port] / [ip-6, udp-port]
//! ip-4     = bytes .size 4
//! ip-6     = bytes .size 16
//! udp-port = 1..65535
//! parked = [24, {
//!   0: uint .size 4,          ; milliseconds after which to say at the latest that one is there
//!   1: uint .size 4,          ; milliseconds that members who come back are spread over
//!   more
//! }]
//!
//! ; ---- the gateway opens the stream -------------------------------------------------------------
//! push = rekey / activate / removed / go-away / packet / heartbeat
//!
//! rekey    = [32, {0: group-id, 1: header-bytes, 2: epoch, 3: [* edge], more}]    ; 2: the one that is active
//! activate = [33, {0: group-id, 1: epoch, more}]
//! removed  = [34, {0: group-id, 1: member, 2: reason, more}]
//! go-away  = [35, {
//!   0: uint,                  ; milliseconds after which to come back
//!   ? 1: [* text],            ; where to, as HOST:PORT, at most 8 of at most 259 bytes; here if there is none
//!   more
//! }]
//!
//! ; by multicast alone
//! packet    = [36, {0: group-id, 1: header-bytes, 2: epoch, 3: [* edge],    ; as rekey, the edges in any order
//!                   4: uint .size 4, 5: uint .size 4, more}]                ; first and last leaf that it is for
//! heartbeat = [37, {0: group-id, 1: epoch, more}]                           ; the newest that was delivered
//!
//! push-reply = ack / nack
//! ack  = [48, {0: epoch, more}]
//! nack = [49, {0: reason, 1: epoch, more}]
//!
//! ; ---- parts ------------------------------------------------------------------------------------
//! header-bytes = bytes .cbor header
//! header = #6.18([                                   ; COSE_Sign1 (RFC 9052)
//!   protected: protected-bytes,
//!   unprotected: {},
//!   payload: epoch-bytes,
//!   signature: signature
//! ])
//! protected-bytes = bytes .cbor protected-map
//! protected-map = {1: -7 / -49, 4: bytes .size 8}    ; ES256 or ML-DSA-65; the first 8 bytes of SHA-256(signing key)
//! epoch-bytes = bytes .cbor epoch-body
//! epoch-body = {
//!   0: suite,
//!   1: group-id,
//!   2: epoch,
//!   3: key-ref,               ; the root key; its level is the height of the tree
//!   4: uint .size 4,          ; activation delay, ms
//!   5: uint .size 4,          ; retirement delay, ms
//!   6: uint .size 4,          ; sender space
//!   7: uint,                  ; members
//!   8: uint,                  ; how many rollovers there were
//!   23: bytes .size 16,       ; confirmation tag: always the last entry
//!   more                      ; with keys 9 to 22: signed, and passed over
//! }
//!
//! edge = [
//!   level: 0..14, index: uint .size 4,               ; the child's node; the parent's is (level + 1, index / 4)
//!   child-generation: generation, child-step: step,
//!   parent-generation: generation, parent-step: step,
//!   wrapped-key                                      ; the parent's key under the child's
//! ]
//! key-ref = [[level: 0..15, index: uint .size 4], generation, step]
//!
//! group-name   = tstr .size (1..128)
//! token        = tstr .size (1..8192)               ; ASCII from ! to ~: a JSON Web Token (RFC 7519) that says more about the member
//! group-id     = bytes .size 16
//! member       = uint
//! epoch        = uint                                 ; the first is 1; 0 stands for none
//! generation   = 1..4294967295
//! step         = 0..128                               ; of a leaf always 0
//! role         = 0..2                                 ; 0 receiver, 1 sender, 2 both
//! suite        = 1 / 2
//! suite-number = uint .size 4
//! point        = bytes .size 65                       ; P-256, uncompressed: 04, x, y
//! hybrid-key   = bytes .size 1216                     ; X25519 (32), then ML-KEM-768's encapsulation key (1184)
//! signing-key  = point / bytes .size 1952             ; suite 1: P-256; suite 2: ML-DSA-65
//! agreement-key = point / bytes .size 32              ; suite 1: P-256; suite 2: X25519
//! signature    = bytes .size 64 / bytes .size 3309    ; suite 1: r and s; suite 2: ML-DSA-65
//! wrapped-key  = bytes .size 40
//! reason       = uint .size 2
//! more         = (* uint => any)                      ; of later versions: passed over
//! ```
//!
//! # Requests
//!
//! | request | is | answer |
//! | --- | --- | --- |
//! | join | a registration: role asked for, and for each suite that the member has a key pair made for this join alone; and whether a push channel is wanted with it, see [`channel`](super::channel) | granted, with the channel where one was wanted and can be had |
//! | resume | a registration taken up on this connection, with the leaf key that the member holds | path; or granted |
//! | leave | the end of a registration, on record when the answer comes | left |
//! | pull | the epochs in use, and a path to the newest; also how a member repairs what it cannot open | key-set; or granted |
//! | status | how the group is; for identities that are registered there | status-report |
//! | acknowledge | the root of an epoch that came in an answer is confirmed | acknowledged |
//! | open-channel | rekeys are wanted by datagram as well, see [`channel`](super::channel); a member need not ask; with an epoch it is an acknowledge as well, whether a channel is opened or not | channel-opened |
//!
//! Any of them may be answered by refused. The registration must belong to the identity of the connection, and after a
//! join or resume it is the registration that this connection serves. A resume on a second connection moves it there.
//! `acknowledge` names the newest epoch that the member holds; the answer repeats it.
//!
//! A join has a key of each suite that it names and that is listed here, and of no other; numbers of later suites may
//! stand beside them. Public values are as long as their suite says, wherever they stand; a message with others is malformed.
//!
//! A registration has another leaf key after a rollover. So a member sends fresh public keys, an `offer`, with every resume,
//! and with a pull by which it repairs what it cannot open, and names the leaf key that it holds. Where that is the
//! registration's, the answer is path or key-set and the offer is not looked at; where it is not, the answer is granted,
//! for the same member, with the leaf key that it has now. A resume without an offer is then refused with 5, a pull
//! without one is answered by a key-set whose path the member cannot open.
//!
//! # Pushes
//!
//! | push | is | answer |
//! | --- | --- | --- |
//! | rekey | a new epoch and the edges that this member's part of the tree needs, often none; or its whole path. And the epoch that senders send with meanwhile | ack, or nack |
//! | activate | to members that may send: switch to this epoch now | ack, or nack when the member does not hold it |
//! | removed | the registration is over; erase its keys | ack |
//! | go-away | the gateway will close: come back after the time given, to the first of the named gateways that serves, or here | ack |
//!
//! Packet and heartbeat are answered by nobody; on a stream they are malformed.
//!
//! An ack names the newest epoch whose root the member has confirmed, which may be newer than the one pushed; 0 for
//! none. It counts for all epochs up to that. A nack gives a reason and the same number.
//!
//! # Reasons
//!
//! | refused | because | what the member does |
//! | --- | --- | --- |
//! | 1 | the request is malformed | nothing: it is a fault of the member's |
//! | 2 | there is no such group, or none that this identity may know of | ask its operator |
//! | 3 | the policy does not admit this identity in this role | ask its operator |
//! | 4 | the group is full | come back when it likes |
//! | 5 | there is no such registration | join afresh |
//! | 6 | this connection already holds a registration in the group | use that one |
//! | 7 | the identity has too many registrations in the group, or the connection has too many groups | leave one, or connect again |
//! | 8 | the group's suite is not among those that the member offers | offer it, where it has it |
//! | 9 | the public key is none of the suite | make a new one |
//! | 10 | the group was destroyed | erase its keys |
//! | 11 | the request is too large | nothing: it is a fault of the member's |
//! | 12 | there is no push channel | nothing: pushes come by stream |
//! | 128 | the gateway is busy | ask again after the time given |
//! | 129 | the gateway is shutting down | connect elsewhere, or later |
//! | 130 | the token is not usable now | ask again after the time given; keep the keys it holds |
//! | 131 | the store is not usable now | ask again after the time given; keep the keys it holds |
//! | 132 | the group is frozen and admits nobody now | ask again after the time given, or ask its operator |
//! | 133 | the gateway admits nobody without its key store, which is out of reach | ask again after the time given; keep the keys it holds |
//!
//! Up to 127 asking again changes nothing by itself; from 128 on the cause passes. The same holds for numbers that are
//! not listed.
//!
//! | removed | because |
//! | --- | --- |
//! | 1 | the member left |
//! | 2 | it was evicted |
//! | 3 | it was without a connection for longer than the policy allows |
//! | 4 | it did not acknowledge for longer than the policy allows |
//! | 5 | a new registration took its place |
//! | 6 | the group was destroyed |
//! | 7 | its grant could not be completed: join afresh |
//!
//! | nack | because | then |
//! | --- | --- | --- |
//! | 1 | the member cannot compute the root from what it holds | it pulls; or a rekey with its whole path comes first |
//! | 2 | the header is malformed, or its signature or tag is wrong | the same; it tells its operator if that fails too |
//! | 3 | the member knows of no registration in the group on this connection | its grant may be on the way: the gateway pushes again after a pause |
//! | 4 | the header tells of a rollover, or is of another suite: the member needs its new leaf key | it pulls, in its own time; a path would not help it |
//!
//! Application error codes of QUIC, for closing a connection, resetting and stopping a stream:
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done; nothing is wrong |
//! | 1 | the peer does not follow the protocol |
//! | 2 | a message is too large |
//! | 3 | too many connections or streams |
//! | 4 | the gateway is shutting down |
//! | 5 | the peer did not finish in time |
//! | 6 | the peer's certificate names no identity, or is revoked |
//! | 7 | internal error |
