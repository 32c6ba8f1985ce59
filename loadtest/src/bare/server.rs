//! The bare server: a process of its own that accepts connections and pushes bytes when it is told to on standard input.
//!
//! It says on standard output what its parent waits for, one line each: its address, how many connections it has when asked,
//! and when a push has been answered by all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, Incoming, ServerConfig};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use wardcast::tls::{self, Credentials, Trust};

use super::{ALPN, ANSWER, transport};
use crate::Failure;

type Connections = Arc<Mutex<Vec<Connection>>>;

/// Serves until standard input ends.
pub(crate) async fn serve(directory: &Path) -> Result<(), Failure> {
    let credentials =
        Credentials::load(&directory.join("server.pem"), &directory.join("server.key"))?;
    let trust = Trust::load(&directory.join("ca.pem"), &[])?;
    let crypto = tls::server_config(credentials, &trust, &[ALPN])?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto)?));
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", endpoint.local_addr()?);

    let connections = Connections::default();
    tokio::spawn(accept(endpoint, connections.clone()));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match line.split_once(' ') {
            // Asked each millisecond while handshakes are counted: a copy of all would be paid for as if it were theirs.
            None => all(&connections).len(),
            Some((_, bytes)) => {
                let now = all(&connections).clone();
                push(now, bytes.parse()?).await
            }
        };
        println!("{answer}");
    }
    Ok(())
}

fn all(connections: &Connections) -> MutexGuard<'_, Vec<Connection>> {
    // Nothing panics while it holds the lock.
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(endpoint: Endpoint, connections: Connections) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(admit(incoming, connections.clone()));
    }
}

/// A client that breaks off is missed by the parent, which counts.
async fn admit(incoming: Incoming, connections: Connections) {
    if let Ok(connection) = incoming.await {
        all(&connections).push(connection);
    }
}

/// Pushes to all at once; how many answered.
async fn push(connections: Vec<Connection>, bytes: usize) -> usize {
    let payload: Arc<[u8]> = vec![0_u8; bytes].into();
    let mut pushes = JoinSet::new();
    for connection in connections {
        pushes.spawn(push_one(connection, payload.clone()));
    }
    let answers = pushes.join_all().await;
    answers.into_iter().filter(|answered| *answered).count()
}

async fn push_one(connection: Connection, payload: Arc<[u8]>) -> bool {
    let Ok((mut send, mut receive)) = connection.open_bi().await else {
        return false;
    };
    let sent = send.write_all(&payload).await.is_ok() && send.finish().is_ok();
    sent && receive
        .read_to_end(ANSWER)
        .await
        .is_ok_and(|answer| answer.len() == ANSWER)
}
