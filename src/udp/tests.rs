//! What is QUIC's stays where quinn looks for it, and nothing else does.

use std::sync::Mutex;

use super::*;

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<(SocketAddr, Vec<u8>)>>);

impl Sink for Seen {
    fn take(&self, datagrams: &[(SocketAddr, &[u8])]) {
        let copies = datagrams
            .iter()
            .map(|(from, bytes)| (*from, bytes.to_vec()));
        self.0.lock().expect("one thread").extend(copies);
    }
}

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Datagrams, each with the port that it came from.
type Received = Vec<(u16, Vec<u8>)>;

/// Sifts these buffers, each with the port that it came from and its stride; what is left and what the sink got.
fn sifted(received: &[(u16, usize, &[u8])]) -> (Received, Received) {
    let mut storage: Vec<Vec<u8>> = received
        .iter()
        .map(|(_, _, bytes)| bytes.to_vec())
        .collect();
    let mut bufs: Vec<IoSliceMut<'_>> = storage
        .iter_mut()
        .map(|bytes| IoSliceMut::new(bytes))
        .collect();
    let mut meta: Vec<RecvMeta> = received
        .iter()
        .map(|&(port, stride, bytes)| {
            let mut meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (address(port), bytes.len(), stride);
            meta
        })
        .collect();
    let seen = Seen::default();
    let kept = sift(&seen, &mut bufs, &mut meta, received.len());
    let left = bufs.iter().zip(&meta).take(kept);
    let left = left.map(|(buf, meta)| (meta.addr.port(), buf[..meta.len].to_vec()));
    let taken = seen.0.into_inner().expect("one thread");
    let taken = taken.into_iter().map(|(from, bytes)| (from.port(), bytes));
    (left.collect(), taken.collect())
}

#[test]
fn what_is_quics_is_left_alone() {
    let received: [(u16, usize, &[u8]); 2] =
        [(1, 3, &[0x40, 1, 2]), (2, 2, &[0xc0, 1, 0x41, 2, 3])];
    let (left, taken) = sifted(&received);
    assert_eq!(
        left,
        [(1, vec![0x40, 1, 2]), (2, vec![0xc0, 1, 0x41, 2, 3])]
    );
    assert!(taken.is_empty());
}

#[test]
fn what_is_not_quics_is_taken_out_wherever_it_stands() {
    let received: [(u16, usize, &[u8]); 4] = [
        (1, 2, &[5, 1]),
        (2, 3, &[0x40, 1, 2]),
        (3, 2, &[0x40, 1, 5, 2, 0x41, 3, 6, 4, 0x42]),
        (4, 2, &[4, 1, 4, 2, 15]),
    ];
    let (left, taken) = sifted(&received);
    assert_eq!(
        left,
        [(2, vec![0x40, 1, 2]), (3, vec![0x40, 1, 0x41, 3, 0x42])]
    );
    let expected: [(u16, &[u8]); 6] = [
        (1, &[5, 1]),
        (3, &[5, 2]),
        (3, &[6, 4]),
        (4, &[4, 1]),
        (4, &[4, 2]),
        (4, &[15]),
    ];
    assert_eq!(taken, expected.map(|(port, bytes)| (port, bytes.to_vec())));
}

#[test]
fn an_empty_datagram_is_nobodys() {
    let (left, taken) = sifted(&[(1, 0, &[]), (2, 1, &[5])]);
    assert_eq!((left, taken), (vec![], vec![(2, vec![5])]));
}

#[test]
fn sockets_share_a_port_among_themselves_and_with_nobody_who_comes_later() {
    let sockets = bound(address(0), 4).expect("are bound");
    let own = sockets[0].local_addr().expect("is bound");
    assert_eq!(sockets.len(), 4);
    for socket in &sockets {
        assert_eq!(socket.local_addr().expect("is bound"), own);
    }
    for count in [1, 2] {
        let again = bound(own, count).map(drop).map_err(|error| error.kind());
        assert_eq!(again, Err(io::ErrorKind::AddrInUse));
    }
}
