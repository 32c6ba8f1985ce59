//! Threads that have used a token's library, waited for until they are quite over.
//!
//! Such a library may keep something for every thread (OpenSSL does), and frees it as the thread ends: after the thread's
//! last line. A process that ends meanwhile frees it too, and crashes. So whoever waits for these threads joins them; but not
//! those that hang in a call, which only the end of the process ends.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};

/// The threads that one party has started.
#[derive(Default)]
pub(super) struct Threads {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    handles: HashMap<ThreadId, JoinHandle<()>>,
    ending: Vec<ThreadId>,
}

impl Threads {
    /// Starts one, which calls [`Threads::ending`] as its last act.
    pub(super) fn spawn(
        &self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut known = self.known();
        known.forget_finished();
        // Under the lock, so that it is known before it says that it ends.
        let handle = thread::Builder::new().name(name).spawn(work)?;
        known.handles.insert(handle.thread().id(), handle);
        Ok(())
    }

    /// The thread that says this is in no call any more, and ends now.
    pub(super) fn ending(&self) {
        self.known().ending.push(thread::current().id());
    }

    /// Waits for all that said that they end.
    pub(super) fn join_ending(&self) {
        let mut known = self.known();
        let ending = std::mem::take(&mut known.ending);
        let handles: Vec<_> = ending
            .iter()
            .filter_map(|id| known.handles.remove(id))
            .collect();
        drop(known);
        for handle in handles {
            // Whether it panicked matters to whoever it worked for, and they know.
            let _ = handle.join();
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_finished(&mut self) {
        self.handles.retain(|_, handle| !handle.is_finished());
        self.ending.retain(|id| self.handles.contains_key(id));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// What a library frees as its thread ends, slowly.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(100));
            self.0.store(true, Ordering::SeqCst);
        }
    }

    thread_local! {
        static KEPT: RefCell<Option<Slow>> = const { RefCell::new(None) };
    }

    #[test]
    fn a_thread_is_waited_for_until_what_it_kept_is_freed() {
        let threads = Arc::new(Threads::default());
        let freed = Arc::new(AtomicBool::new(false));
        let (said, ends) = std::sync::mpsc::channel();
        let (own, its) = (threads.clone(), freed.clone());
        let work = move || {
            KEPT.set(Some(Slow(its)));
            own.ending();
            said.send(()).expect("somebody listens");
        };
        threads.spawn("works".to_owned(), work).expect("starts");
        ends.recv().expect("it ends");
        threads.join_ending();
        assert!(freed.load(Ordering::SeqCst));
    }

    #[test]
    fn a_thread_that_hangs_is_not_waited_for() {
        let threads = Threads::default();
        let (release, hangs) = std::sync::mpsc::channel::<()>();
        let work = move || {
            // An error: the other end is dropped.
            let _ = hangs.recv();
        };
        threads.spawn("hangs".to_owned(), work).expect("starts");
        threads.join_ending();
        drop(release);
    }

    #[test]
    fn threads_that_are_over_are_forgotten() {
        let threads = Arc::new(Threads::default());
        for _ in 0..100 {
            let (own, (over, done)) = (threads.clone(), std::sync::mpsc::channel::<()>());
            let work = move || {
                let _over = over;
                own.ending();
            };
            threads.spawn("short".to_owned(), work).expect("starts");
            // An error says that its end is dropped.
            let _ = done.recv();
        }
        assert!(threads.known().handles.len() < 100);
    }
}
