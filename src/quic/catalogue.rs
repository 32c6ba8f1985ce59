//! Metrics of the front end for members.

use crate::group::wire::RefusalCode;
use crate::meter::{CALL, Metric, Values};

/// Why a handshake came to nothing.
const FAILURES: &[&str] = &[
    "certificate",
    "tls",
    "transport",
    "closed",
    "timeout",
    "identity",
    "identity_limit",
];

/// Metrics of connections, requests and pushes.
pub const METRICS: &[Metric] = &[
    Metric::gauge("wardcast_connections", "Connections of members."),
    Metric::counter("wardcast_handshakes_total", "Handshakes of members that led to a connection."),
    Metric::counter("wardcast_handshakes_failed_total", "Handshakes of members that came to nothing, by reason: identity is a certificate that names none, identity_limit one that has too many connections.")
        .by(&[("reason", Values::Of(FAILURES))]),
    Metric::counter("wardcast_handshakes_refused_total", "Connections that were refused before their handshake, by the bound that was reached; draining is a gateway that is about to go.")
        .by(&[("reason", Values::Of(&["connections", "handshakes", "wait", "draining"]))]),
    Metric::counter("wardcast_handshakes_retried_total", "Clients that had to prove their address first."),
    Metric::counter("wardcast_refusals_total", "Requests of members that were refused, by reason.")
        .by(&[("reason", Values::Of(RefusalCode::NAMES))]),
    Metric::counter("wardcast_pushes_total", "Pushes by stream."),
    Metric::counter("wardcast_pushes_refused_total", "Pushes that a member could not use."),
    Metric::counter("wardcast_pushes_failed_total", "Pushes by stream that were not answered."),
    Metric::histogram("wardcast_rekey_sending_seconds", CALL, "How long it took to hand the datagrams of one rekey to the kernel, on one socket."),
    Metric::counter("wardcast_datagrams_sent_total", "Rekeys sent by datagram, for the first time."),
    Metric::counter("wardcast_datagrams_resent_total", "Rekeys sent by datagram again, because they were not acknowledged."),
    Metric::counter("wardcast_datagrams_given_up_total", "Rekeys that went by stream in the end, because no datagram was acknowledged."),
    Metric::counter("wardcast_datagrams_activations_total", "Senders told to switch by datagram."),
    Metric::counter("wardcast_datagrams_answers_total", "Answers by datagram to signs of life."),
    Metric::counter("wardcast_datagrams_acknowledged_total", "Acknowledgements that came by datagram."),
    Metric::counter("wardcast_datagrams_refused_total", "Datagrams that were no member's."),
    Metric::counter("wardcast_multicast_listeners_total", "Members that began to hear a multicast."),
    Metric::counter("wardcast_multicast_given_up_total", "Members that did not report what was multicast, and got it alone."),
    Metric::counter("wardcast_multicast_datagrams_sent_total", "Datagrams multicast for the first time."),
    Metric::counter("wardcast_multicast_datagrams_repeated_total", "Datagrams multicast again."),
    Metric::counter("wardcast_multicast_heartbeats_sent_total", "Heartbeats multicast."),
    Metric::counter("wardcast_multicast_reports_total", "Reports of members that hear a multicast."),
    Metric::counter("wardcast_quic_packets_moved_total", "Packets that came by the socket of another lane."),
    Metric::counter("wardcast_quic_packets_lost_total", "Packets that a lane had no room for."),
];
