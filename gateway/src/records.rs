//! All SQL: one writer thread that commits in groups, and read-only connections beside it.

pub mod blobs;
pub mod counter_signatures;
pub mod decisions;
pub mod inventories;
pub mod manifests;
pub mod notary;
pub mod receipts;
pub mod refused_since;
pub mod schema;
pub mod verdicts;
pub mod withdrawals;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

/// Jobs that share one commit, and so one wait for the disk. More would only make the first of them wait longer.
const GROUP_MAX: usize = 64;
/// Read connections kept open.
const READERS_MAX: usize = 4;
/// Prepared statements kept by each connection.
const STATEMENTS_MAX: usize = 64;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The database said no.
    #[error("database error")]
    Database(#[from] rusqlite::Error),
    /// The database file is of a newer version of this program.
    #[error("database has schema version {found}, this program knows {known}")]
    Newer {
        /// In the file.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The group's commit failed: nothing of it is stored.
    #[error("commit failed: {0}")]
    Commit(String),
    /// The writer has stopped; the process is going down.
    #[error("the record writer has stopped")]
    Stopped,
    /// A stored value is not what this program writes.
    #[error("stored {what} is malformed")]
    Malformed {
        /// Which value.
        what: &'static str,
    },
}

type Finish = Box<dyn FnOnce(Result<(), &str>) + Send>;
/// Given the connection inside a transaction, or what went wrong when it was to begin.
type Job = Box<dyn FnOnce(Result<&Connection, &str>) -> Finish + Send>;
/// Called after a commit, before the writer's caller hears of it, with the repository that changed.
pub type AfterCommit = Box<dyn Fn(&str) + Send + Sync>;

/// The database.
pub struct Records {
    jobs: Mutex<Option<Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    path: PathBuf,
    after_commit: Arc<AfterCommit>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Records").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Records {
    /// Opens or creates `records.sqlite` in `data_dir` and starts the writer.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer version.
    pub fn open(data_dir: &Path, after_commit: AfterCommit) -> Result<Self, RecordError> {
        let path = data_dir.join("records.sqlite");
        let writer = Connection::open(&path)?;
        prepare(&writer)?;
        // FULL: a commit is on the disk before it is acknowledged.
        writer.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )?;
        schema::migrate(&writer)?;
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("records".into())
            .spawn(move || run_writer(&writer, &queue))
            .map_err(|_| RecordError::Stopped)?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            writer: Mutex::new(Some(thread)),
            readers: Mutex::new(Vec::new()),
            path,
            after_commit: Arc::new(after_commit),
        })
    }

    /// Runs `job` in a transaction of its own (a savepoint of the group's) and returns once it is durable. When `job`
    /// fails, nothing of it is stored. `repository` names what changed, for the warm answers.
    ///
    /// # Errors
    /// Those of `job`, and [`RecordError`] when the commit fails.
    pub async fn write<T, E, F>(&self, repository: &str, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RecordError> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let after_commit = Arc::clone(&self.after_commit);
        let repository = repository.to_owned();
        let boxed: Job = Box::new(move |connection| {
            let outcome = match connection {
                Ok(connection) => in_savepoint(connection, job),
                Err(problem) => Err(RecordError::Commit(problem.to_owned()).into()),
            };
            Box::new(move |committed| {
                let outcome = match committed {
                    Ok(()) => outcome,
                    Err(problem) => outcome.and(Err(RecordError::Commit(problem.to_owned()).into())),
                };
                // Before the answer: whoever is told of the change must not find a warm answer from before it.
                after_commit(&repository);
                drop(reply.send(outcome));
            })
        });
        let sent = match self.jobs.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(jobs) => jobs.send(boxed).is_ok(),
            None => false,
        };
        if !sent {
            return Err(RecordError::Stopped.into());
        }
        answer.await.unwrap_or_else(|_| Err(RecordError::Stopped.into()))
    }

    /// Like [`Records::write`] for what can be made again: nobody waits for it, a failure is logged. It changes no
    /// repository.
    pub fn write_later<F>(&self, job: F)
    where
        F: FnOnce(&Connection) -> Result<(), RecordError> + Send + 'static,
    {
        let boxed: Job = Box::new(move |connection| {
            let outcome = connection.map(|connection| in_savepoint(connection, job)).map_err(|_| ());
            Box::new(move |committed| {
                if let (Ok(Err(error)), Ok(())) = (outcome, committed) {
                    tracing::warn!(%error, "records: could not keep what can be made again");
                }
            })
        });
        if let Some(jobs) = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            drop(jobs.send(boxed));
        }
    }

    /// Runs `query` on a read-only connection, which sees every commit that was acknowledged.
    ///
    /// # Errors
    /// Those of `query`, and [`RecordError`] when no connection can be opened.
    pub fn read<T, E>(&self, query: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<RecordError>,
    {
        let spare = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match spare {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let outcome = query(&connection);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_MAX {
            readers.push(connection);
        }
        outcome
    }

    /// Waits for the writer to finish what it has, and stops it.
    pub fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(thread.join());
        }
    }

    fn open_reader(&self) -> Result<Connection, RecordError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        prepare(&connection)?;
        Ok(connection)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.close();
    }
}

fn prepare(connection: &Connection) -> Result<(), RecordError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // No statistics are gathered by which one value would deserve another plan; without this each statement would be planned
    // anew for each value that is put in.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA cache_size = -2048; PRAGMA trusted_schema = OFF;")?;
    Ok(())
}

fn in_savepoint<T, E: From<RecordError>>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let run =
        |sql: &str| connection.execute_batch(sql).map_err(|error| E::from(RecordError::Database(error)));
    run("SAVEPOINT job")?;
    match job(connection) {
        Ok(value) => run("RELEASE job").map(|()| value),
        Err(error) => {
            run("ROLLBACK TO job; RELEASE job")?;
            Err(error)
        }
    }
}

fn run_writer(connection: &Connection, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            tracing::error!(%error, "records: cannot begin a transaction");
            first(Err(&error.to_string()))(Ok(()));
            continue;
        }
        let mut finishes = vec![first(Ok(connection))];
        while finishes.len() < GROUP_MAX
            && let Ok(next) = queue.try_recv()
        {
            finishes.push(next(Ok(connection)));
        }
        let problem = connection.execute_batch("COMMIT").err().map(|error| error.to_string());
        if let Some(problem) = &problem {
            tracing::error!(
                problem,
                jobs = finishes.len(),
                "records: commit failed, nothing of the group is stored"
            );
            drop(connection.execute_batch("ROLLBACK"));
        }
        for finish in finishes {
            finish(problem.as_deref().map_or(Ok(()), Err));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Records {
        Records::open(folder, Box::new(|_| ())).unwrap()
    }

    async fn put(records: &Records, digest: &'static str, fail: bool) -> Result<(), RecordError> {
        records
            .write("r", move |connection| {
                connection
                    .execute("INSERT INTO blobs (digest, size, stored_at) VALUES (?1, 1, 1)", [digest])?;
                if fail { Err(RecordError::Malformed { what: "test" }) } else { Ok(()) }
            })
            .await
    }

    fn count(records: &Records) -> i64 {
        records
            .read(|connection| {
                Ok::<_, RecordError>(
                    connection.query_row("SELECT count(*) FROM blobs", [], |row| row.get(0))?,
                )
            })
            .unwrap()
    }

    #[tokio::test]
    async fn a_job_that_fails_stores_nothing_and_harms_no_neighbour() {
        let folder = tempfile::tempdir().unwrap();
        let records = open(folder.path());
        let (first, second, third) =
            tokio::join!(put(&records, "a", false), put(&records, "b", true), put(&records, "c", false));
        assert!(first.is_ok() && second.is_err() && third.is_ok());
        assert_eq!(count(&records), 2);
        drop(records);
        assert_eq!(count(&open(folder.path())), 2, "and after reopening");
    }

    #[tokio::test]
    async fn writes_after_closing_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let records = open(folder.path());
        records.close();
        assert!(matches!(put(&records, "a", false).await, Err(RecordError::Stopped)));
    }
}
