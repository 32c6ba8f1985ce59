//! Runs the command of `--on-rekey`: one process an event, in order, the event as JSON on its standard input.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Events that wait for a slow command. Behind them the member waits, so that none is skipped.
const QUEUE: usize = 64;
/// A command that takes longer is killed: the next event is worth more than this one.
const LIMIT: Duration = Duration::from_secs(30);

/// The running hook. Keys reach the command through a pipe alone: arguments and environment can be read by others.
pub(super) struct Hook {
    events: mpsc::Sender<Zeroizing<String>>,
    task: JoinHandle<()>,
}

impl Hook {
    /// Starts it; `command` is given to the shell.
    pub(super) fn start(command: String) -> Self {
        let (events, mut waiting) = mpsc::channel::<Zeroizing<String>>(QUEUE);
        let task = tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                if let Err(trouble) = run(&command, &event).await {
                    eprintln!("wardcast: --on-rekey: {trouble}");
                }
            }
        });
        Self { events, task }
    }

    /// Queues an event for the command.
    pub(super) async fn tell(&self, event: Zeroizing<String>) {
        // The task ends with this sender, or by a panic of its own: then there is nobody to tell.
        let _ = self.events.send(event).await;
    }

    /// Waits until the command has seen all events.
    pub(super) async fn finish(self) {
        drop(self.events);
        let _ = self.task.await;
    }
}

async fn run(command: &str, event: &str) -> Result<(), String> {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    let mut child = shell
        .spawn()
        .map_err(|error| format!("cannot run /bin/sh: {error}"))?;
    let mut input = child.stdin.take().expect("its standard input is a pipe");
    let conversation = async {
        // A command may end without reading its input: its exit code says whether that was well.
        let _ = input.write_all(event.as_bytes()).await;
        let _ = input.write_all(b"\n").await;
        drop(input);
        child.wait().await
    };
    match timeout(LIMIT, conversation).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the command ended with {status}")),
        Ok(Err(error)) => Err(format!("cannot wait for the command: {error}")),
        Err(_) => Err(format!(
            "the command took longer than {} s and was killed",
            LIMIT.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_command_gets_the_events_in_order_on_its_input() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let hook = Hook::start(format!("cat >> '{}'", seen.display()));
        for event in ["{\"epoch\":1}", "{\"epoch\":2}", "{\"epoch\":3}"] {
            hook.tell(Zeroizing::new(event.to_owned())).await;
        }
        hook.finish().await;
        assert_eq!(
            std::fs::read_to_string(seen).unwrap(),
            "{\"epoch\":1}\n{\"epoch\":2}\n{\"epoch\":3}\n"
        );
    }

    #[tokio::test]
    async fn a_failing_command_is_reported_and_one_that_reads_nothing_is_fine() {
        assert_eq!(run("true", &"x".repeat(1 << 20)).await, Ok(()));
        assert!(
            run("exit 3", "{}")
                .await
                .unwrap_err()
                .contains("exit status: 3")
        );
    }
}
