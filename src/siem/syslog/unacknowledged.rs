//! How many bytes of a TCP connection the peer's system has not acknowledged: what the kernel's table of connections says.
//!
//! The table (`/proc/net/tcp`, proc(5)) has a line for each connection: both addresses as the kernel holds them, in hexadecimal
//! digits, and what is in the queue to be sent, which a byte leaves once it is acknowledged. The connection itself could be asked
//! (`SIOCOUTQ`), but nothing here does that without unsafe code.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};

/// The state of a connection that neither end has ended.
const ESTABLISHED: &str = "01";

/// The bytes of the connection between these two addresses, if there is one that neither end has ended.
///
/// # Errors
/// When the table cannot be read.
pub(super) fn unacknowledged(own: SocketAddr, peer: SocketAddr) -> io::Result<Option<u64>> {
    let table = match own {
        SocketAddr::V4(_) => "/proc/thread-self/net/tcp",
        SocketAddr::V6(_) => "/proc/thread-self/net/tcp6",
    };
    find(BufReader::new(File::open(table)?), own, peer)
}

fn find(table: impl BufRead, own: SocketAddr, peer: SocketAddr) -> io::Result<Option<u64>> {
    let (own, peer) = (address(own), address(peer));
    for line in table.lines() {
        let line = line?;
        // Number, own address, peer's address, state, both queues.
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next() == Some(&*own) && words.next() == Some(&*peer) {
            if words.next() != Some(ESTABLISHED) {
                return Ok(None);
            }
            let queues = words.next().unwrap_or_default();
            let sending = queues.split(':').next().unwrap_or_default();
            return Ok(u64::from_str_radix(sending, 16).ok());
        }
    }
    Ok(None)
}

/// An address as the table has it: words of four bytes in the machine's order.
fn address(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut text = String::new();
    for word in octets.as_chunks::<4>().0 {
        text += &format!("{:08X}", u32::from_ne_bytes(*word));
    }
    format!("{text}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_nobody_reads_is_not_acknowledged_until_somebody_does() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("listens");
            let to = listener.local_addr().expect("an address");
            let mut stream = TcpStream::connect(to).expect("connects");
            let (mut reader, _) = listener.accept().expect("accepts");
            let own = stream.local_addr().expect("an address");
            let queued = || unacknowledged(own, to).expect("is read").expect("is there");
            stream.set_nonblocking(true).expect("is set");
            let mut sent = 0;
            while let Ok(written) = stream.write(&[7; 65_536]) {
                sent += written;
            }
            assert!(queued() > 0, "{sent} bytes fill all buffers");
            let mut read = vec![0; sent];
            reader.read_exact(&mut read).expect("is read");
            let began = Instant::now();
            while queued() > 0 {
                assert!(began.elapsed() < Duration::from_secs(30));
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(reader);
            while unacknowledged(own, to).expect("is read").is_some() {
                assert!(began.elapsed() < Duration::from_secs(30), "it is over");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
