//! Wardcast: a key-distribution gateway for secure multicast groups.
//!
//! # The idea
//!
//! A group is a tree of keys (a logical key hierarchy, RFC 2627). The keys are in a token; the gateway holds the
//! tree's public shadow: which node is at which generation and step. The core plans with names
//! ([`KeyRef`](group::ids::KeyRef)), the token derives keys by name and hands out only what is wrapped under other keys
//! of the tree. So the core is deterministic and safe to log, persist, fuzz and simulate, and no key is in the store.
//!
//! # How a change flows
//!
//! ```text
//!   request  --> quic, admin --> engine: the shard of the group
//!                                  | machine.handle(input)
//!                                  |   stage a change, then, as effects in order:
//!                                  |-> store: append the outcome (revision expected)
//!                                  |-> audit: put it on record
//!                                  |   commit
//!                                  |-> token pool: wrap, confirm, sign, by name
//!                                  |-> outboxes: one header, a chunk of edges for each subtree
//!   member   <-- quic: push     <--'   sealed once, a datagram a member; a stream where that does not do
//!   ack      --> quic --> engine: delivery assurance; quorum or time-out: activate
//! ```
//!
//! # Code map
//!
//! A module names only what stands below it, never a sibling; `tests/tidy` holds the code to that.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the commands |
//! | [`app`] | composition root: what is started and ended, in which order |
//! | [`quic`], [`admin`] | the two fronts: members over QUIC, operators over HTTPS |
//! | [`front`] | the front for programs: the key store upstream by KMIP, and the mission's operations by REST |
//! | [`https`] | the HTTPS listener |
//! | [`relay`] | the audit trail to the key store upstream, batch by batch, from where it had come to; groups' life cycle there, and back |
//! | [`siem`] | the audit trail to a log server, a collector of OCSF events, Splunk: followers as the relay's |
//! | [`engine`] | single-writer shards that run the core's effects; the outbox is the delivery seam |
//! | [`hsm`], [`store`], [`audit`], [`policy`] | token, durable state, the trail of what happened, decision point |
//! | [`attributes`] | what is known about who asks: certificate, bearer token, directory |
//! | [`kmip`] | messages of the upstream key store's protocol, their three encodings, and a client of such a store |
//! | [`member`] | the client library |
//! | [`config`], [`tls`], [`pki`] | typed configuration; mutual TLS and identity; a development CA |
//! | [`trace`] | identifiers of requests; spans of requests and rekeys, and who is told of them |
//! | [`udp`] | sockets for QUIC and for the push channel's datagrams |
//! | `causes` | an error with all that led to it, in words |
//! | [`crypto`] | suites 1 and 2 in software: what members compute, and the software token with them |
//! | [`meter`] | what a metric is; each part lists its own in a `catalogue` |
//! | [`group`] | the pure core; its [`wire`](group::wire) module specifies the wire format |
//!
//! # Invariants
//!
//! 1. With a hardware token no key of a group is in this process; none is ever on its disk or in its logs. (A push key is none:
//!    it is derived from a root one way, and opens datagrams whose content is signed and wrapped.)
//! 2. Persist, then audit, then send: an epoch that a member has seen survives `kill -9`, and is on record.
//! 3. Epochs of a group are totally ordered; a second writer is fenced out, never merged.
//! 4. Who was not in an epoch cannot compute its secret, alone or with others who were not.
//! 5. Every current member that received its newest delivery computes the same secret.
//! 6. Every queue, map and loop that a peer can grow has a named bound, and what happens there is decided and counted.
//! 7. Trouble of token, store, audit trail or key store upstream never takes away keys that members hold; what fails closed is
//!    admitting someone.
//! 8. What is on record goes to the key store upstream in order and once, however often either side is killed.

pub mod admin;
pub mod app;
pub mod attributes;
pub mod audit;
mod causes;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod engine;
pub mod front;
pub mod group;
pub mod hsm;
pub mod https;
pub mod kmip;
pub mod member;
pub mod meter;
pub mod pki;
pub mod policy;
pub mod quic;
pub mod relay;
pub mod siem;
pub mod store;
pub mod tls;
pub mod trace;
pub mod udp;
