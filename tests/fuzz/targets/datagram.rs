//! Reads datagrams of the push channel: what is one is written again to the same bytes.

#![no_main]

use wardcast_fuzz::group::wire::datagram::{
    Datagram, acknowledge, alive, go_away, leaves, newest, probe, report, sealed_head,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let again = match Datagram::parse(bytes) {
        None => return,
        Some(Datagram::Sealed {
            key, nonce, sealed, ..
        }) => [&sealed_head(key, nonce)[..], sealed].concat(),
        Some(Datagram::Acknowledge(said)) => {
            acknowledge(said.channel, said.what, |_| *said.code).to_vec()
        }
        Some(Datagram::Report(said)) => report(said.channel, said.what, |_| *said.code).to_vec(),
        Some(Datagram::Probe(said)) => probe(said.channel, said.what, |_| *said.code).to_vec(),
        Some(Datagram::Alive(said)) => alive(said.channel, said.what, |_| *said.code).to_vec(),
        Some(Datagram::GoAway(said)) => go_away(said.channel, said.what, |_| *said.code),
        Some(Datagram::Leaves(said)) => leaves(said.channel, said.what, |_| *said.code).to_vec(),
        Some(Datagram::Newest(said)) => newest(said.channel, said.what, 0, |_| *said.code).to_vec(),
    };
    assert_eq!(again, bytes);
});
