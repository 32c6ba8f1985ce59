//! What the service manager is told, over a socket such as it has.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::support::{SOON, Setup, Site};

/// What systemd would hear.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).expect("it can be set");
        Self {
            socket,
            path: path.to_str().expect("text").to_owned(),
            _folder: folder,
        }
    }

    /// Waits for a message that says this; returns all of it.
    async fn hears(&self, says: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(told) = self
                .next()
                .filter(|told| told.lines().any(|line| line == says))
            {
                return told;
            }
            assert!(began.elapsed() < SOON, "{says} was not told");
            tokio::task::yield_now().await;
        }
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_start_reload_life_and_end() {
    let manager = Manager::new();
    let environment = [
        ("NOTIFY_SOCKET", manager.path.as_str()),
        ("WATCHDOG_USEC", "400000"),
    ];
    let mut site = Site::start(Setup {
        environment: &environment,
        ..Setup::default()
    })
    .await;
    let ready = manager.hears("READY=1").await;
    let status = ready.lines().find(|line| line.starts_with("STATUS="));
    let status = status.expect("a status").to_owned();
    assert!(
        status.starts_with("STATUS=serving on 127.0.0.1:"),
        "{ready}"
    );
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    site.signal("HUP");
    let reloading = manager.hears("RELOADING=1").await;
    let since = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let since: u64 = since.expect("since when").parse().expect("a number");
    assert!(since > 0);
    let again = manager.hears("READY=1").await;
    assert!(again.lines().any(|line| line == status), "{again}");
    // A process that stands still tells nothing: whatever it had told before is heard first.
    site.signal("STOP");
    while manager.next().is_some() {}
    assert_eq!(manager.next(), None);
    site.signal("CONT");
    manager.hears("WATCHDOG=1").await;
    site.signal("TERM");
    manager.hears("STOPPING=1").await;
    assert!(site.ended().await.success());
}
