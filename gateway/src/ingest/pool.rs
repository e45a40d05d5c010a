//! A fixed set of threads for one kind of work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Bounds how much is done at the same moment, in the order in which it was asked for.
///
/// Not the runtime's blocking threads: there are many, they come and go, and the system's allocator keeps for each what
/// it once held, so that a gate that walks several layers at once would grow to twice what it needs.
#[derive(Debug)]
pub(super) struct Pool {
    jobs: mpsc::Sender<Job>,
}

impl Pool {
    /// A thread that cannot be begun is one fewer; with none at all nothing is done, and whoever asks hears it.
    pub(super) fn new(name: &str, threads: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            let begun = thread::Builder::new().name(name.to_owned()).spawn(move || work(&queue));
            if let Err(error) = begun {
                tracing::error!(%error, "cannot begin a thread to scan with");
            }
        }
        Self { jobs }
    }

    /// What `job` gives, once a thread is free; `None`: it panicked, or there is no thread.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let job = move || {
            // What the job held is gone with it; the thread has nothing that could be left half done.
            if let Ok(outcome) = catch_unwind(AssertUnwindSafe(job)) {
                drop(reply.send(outcome));
            }
        };
        self.jobs.send(Box::new(job)).ok()?;
        answer.await.ok()
    }
}

/// Ends when the pool is gone.
fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(mpsc::RecvError) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_gives_nothing_and_its_thread_goes_on() {
        let pool = Pool::new("test", 1);
        assert_eq!(pool.run(|| -> u8 { panic!("as it should") }).await, None);
        assert_eq!(pool.run(|| thread::current().name().map(str::to_owned)).await.flatten().unwrap(), "test");
    }

    #[tokio::test]
    async fn only_so_many_jobs_run_at_once() {
        let pool = Pool::new("test", 2);
        let (sender, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let held = || {
            let wait = Arc::clone(&wait);
            pool.run(move || wait.lock().unwrap().recv().is_err())
        };
        let (first, second) = (held(), held());
        let third = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let waited = tokio::time::timeout(Duration::from_millis(50), pool.run(|| 3)).await;
            drop(sender);
            waited
        };
        let (first, second, third) = tokio::join!(first, second, third);
        assert!(first.is_some() && second.is_some() && third.is_err());
        assert_eq!(pool.run(|| 4).await, Some(4));
    }
}
