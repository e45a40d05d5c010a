//! The walk of one layer on two threads: one reads the upload's file and undoes the compression, the other reads what
//! comes out.
//!
//! Clients push large layers one after another, and a compressed stream can only be undone from its begin: on one thread
//! a single layer would use one core while the others idle. For the same reason a walk may fall behind its upload: it
//! reads the bytes from the file, where they are (still in the page cache) whether it is fast or slow, and the next layer
//! arrives meanwhile. How far all walks together are behind is bounded; beyond it the socket waits.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use scanner::layer::{ArchiveWalk, LayerReport, Unpack, UnpackEnd};
use scanner::limits::Limits;
use scanner::yara::RuleSet;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::backlog::{Backlog, Owed};
use super::pool::Pool;
use crate::blobs::read_at;
use crate::malware::RuleStore;
use crate::telemetry::{Counted, Metrics};

/// Bytes of the file that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Unpacked bytes that are handed over at once: enough that the hop costs nothing beside the work.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait to be read.
const QUEUE_PIECES: usize = 4;

/// Begins walks, and bounds how many run at the same moment.
#[derive(Debug)]
pub(super) struct Walks {
    /// Each half has threads of its own: one that waits for the other must not hold what the other waits for.
    unpacking: Arc<Pool>,
    reading: Arc<Pool>,
    backlog: Backlog,
    metrics: Arc<Metrics>,
    rules: Arc<RuleStore>,
}

/// A walk that goes on while its upload arrives; it stops when this is dropped.
#[derive(Debug)]
pub(super) struct Walk {
    steps: mpsc::UnboundedSender<Step>,
    backlog: Backlog,
    report: AbortOnDropHandle<Option<LayerReport>>,
}

/// What a walk is told; the backlog bounds how many of these wait.
#[derive(Debug)]
enum Step {
    /// So many more bytes are in the file.
    More(Owed),
    /// The blob is complete.
    End,
}

/// A piece of the archive, and how many bytes of the blob had come by then.
type Piece = (Vec<u8>, u64);

impl Walks {
    /// `threads`: how many layers may be unpacked at the same moment, and as many read.
    pub(super) fn new(threads: usize, metrics: Arc<Metrics>) -> Self {
        let pool = |name| Arc::new(Pool::new(name, threads));
        let (unpacking, reading) = (pool("unpack"), pool("scan"));
        let backlog = Backlog::new(Arc::clone(&metrics));
        Self { unpacking, reading, backlog, metrics, rules: RuleStore::none() }
    }

    pub(super) fn with_rules(self, rules: Arc<RuleStore>) -> Self {
        Self { rules, ..self }
    }

    /// Of the bytes that are, or will be, in `file`, from its begin.
    pub(super) fn begin(&self, file: Arc<File>) -> Walk {
        let (steps, to_unpack) = mpsc::unbounded_channel();
        let (pieces, to_read) = mpsc::channel(QUEUE_PIECES);
        let unpacking = unpack(file, to_unpack, pieces, Arc::clone(&self.unpacking));
        let rules = self.rules.current();
        let pool = Arc::clone(&self.reading);
        let reading = read(to_read, Arc::clone(&pool), Arc::clone(&self.metrics), rules);
        let report = tokio::spawn(async move {
            let (end, archive) = tokio::join!(unpacking, reading);
            let (end, archive) = (end?, archive?);
            pool.run(move || archive.finish(end)).await
        });
        Walk { steps, backlog: self.backlog.clone(), report: AbortOnDropHandle::new(report) }
    }
}

impl Walk {
    /// Tells that so many more bytes are in the file. Waits while all walks together are too far behind.
    pub(super) async fn feed(&self, bytes: u64) {
        let owed = self.backlog.owe(bytes).await;
        // A closed queue means that the walk died; no report is stored then, and the gate will not call the layer clean.
        drop(self.steps.send(Step::More(owed)));
    }

    /// Waits for the report. `None`: the walk panicked, which is a bug of ours, or the file could not be read; the layer
    /// then counts as not looked at.
    pub(super) async fn finish(self) -> Option<LayerReport> {
        drop(self.steps.send(Step::End));
        self.report.await.ok()?
    }
}

async fn unpack(
    file: Arc<File>,
    mut queue: mpsc::UnboundedReceiver<Step>,
    pieces: mpsc::Sender<Piece>,
    pool: Arc<Pool>,
) -> Option<UnpackEnd> {
    let mut unpack = Unpack::new();
    let mut pieces = Pieces { gathered: Vec::new(), packed: 0, to: pieces };
    let mut source = Source { file, at: 0, buffer: Vec::new() };
    loop {
        match queue.recv().await? {
            Step::End => break,
            Step::More(owed) => {
                let fed = pool.run(move || {
                    let read = source.read(owed.bytes(), |bytes| {
                        unpack.feed(bytes, |unpacked, packed| pieces.take(unpacked, packed));
                    });
                    read.map(|()| (unpack, pieces, source))
                });
                (unpack, pieces, source) = match fed.await? {
                    Ok(fed) => fed,
                    Err(error) => {
                        tracing::error!(%error, "cannot read back an upload to scan it");
                        return None;
                    }
                };
            }
        }
    }
    let finish = move || {
        let end = unpack.finish(|unpacked, packed| pieces.take(unpacked, packed));
        // Whoever reads has stopped, and will say why.
        let _: ControlFlow<()> = pieces.hand_over();
        end
    };
    pool.run(finish).await
}

/// The upload's file, as far as it was read. Blocking.
struct Source {
    file: Arc<File>,
    at: u64,
    buffer: Vec<u8>,
}

impl Source {
    /// Reads the next `bytes` bytes.
    fn read(&mut self, bytes: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.buffer.resize(READ_BYTES, 0);
        let end = self.at.saturating_add(bytes);
        while self.at < end {
            let wanted = usize::try_from(end - self.at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let count = read_at(&self.file, &mut self.buffer[..wanted], self.at)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            take(&self.buffer[..count]);
            self.at += count as u64;
        }
        Ok(())
    }
}

async fn read(
    mut queue: mpsc::Receiver<Piece>,
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
    rules: Option<Arc<RuleSet>>,
) -> Option<ArchiveWalk> {
    let mut archive = ArchiveWalk::new(Limits::default()).with_rules(rules);
    while let Some((piece, packed)) = queue.recv().await {
        let (waiting, busy) = (Counted::begin(&metrics.scan_queue_depth), metrics.scan_threads_busy.clone());
        let read = pool.run(move || {
            drop(waiting);
            let _busy = Counted::begin(&busy);
            (archive.feed(&piece, packed), archive)
        });
        let flow;
        (flow, archive) = read.await?;
        if flow.is_break() {
            // Closes the queue, so that nothing more is unpacked.
            break;
        }
    }
    Some(archive)
}

/// Gathers what comes out until it is worth a hop. Blocking.
struct Pieces {
    gathered: Vec<u8>,
    packed: u64,
    to: mpsc::Sender<Piece>,
}

impl Pieces {
    fn take(&mut self, unpacked: &[u8], packed: u64) -> ControlFlow<()> {
        if self.gathered.len() + unpacked.len() > PIECE_BYTES {
            self.hand_over()?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(PIECE_BYTES);
        }
        self.gathered.extend_from_slice(unpacked);
        self.packed = packed;
        ControlFlow::Continue(())
    }

    fn hand_over(&mut self) -> ControlFlow<()> {
        let piece = std::mem::take(&mut self.gathered);
        match self.to.blocking_send((piece, self.packed)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use scanner::layer::{LayerOutcome, LayerWalk};

    use super::*;

    fn archive(files: usize) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for number in 0..files {
            let content: Vec<u8> = (0..40_000 + number).map(|at| (at * number % 251) as u8).collect();
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("srv/{number}"), &content[..]).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn on_one_thread(blob: &[u8]) -> LayerReport {
        let mut walk = LayerWalk::new(Limits::default());
        walk.feed(blob);
        walk.finish()
    }

    fn stored(blob: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(blob).unwrap();
        Arc::new(file)
    }

    /// More than one walk at a time, on one place of each half.
    async fn on_two_threads(blobs: &[Vec<u8>], batch_bytes: usize) -> Vec<LayerReport> {
        let walks = Walks::new(1, Arc::new(Metrics::new()));
        let begun: Vec<Walk> = blobs.iter().map(|blob| walks.begin(stored(blob))).collect();
        let fed = begun.into_iter().zip(blobs).map(|(walk, blob)| async move {
            for batch in blob.chunks(batch_bytes) {
                walk.feed(batch.len() as u64).await;
            }
            walk.finish().await.expect("nothing panics")
        });
        let reports = futures_util::future::join_all(fed).await;
        assert!(walks.backlog.is_empty());
        reports
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_threads_give_the_report_of_one() {
        let good = gzip(&archive(60));
        let mut damaged = good.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].fill(0xff);
        let cut = good[..good.len() - 9].to_vec();
        let doubled = [&good[..], &good[..]].concat();
        let blobs = [good, damaged, cut, doubled, archive(3), b"{}".to_vec(), Vec::new()];
        let expected: Vec<LayerReport> = blobs.iter().map(|blob| on_one_thread(blob)).collect();
        assert_eq!(expected[0].outcome, LayerOutcome::Walked);
        for report in &expected[1..3] {
            assert!(matches!(report.outcome, LayerOutcome::Refused { .. }), "{:?}", report.outcome);
        }
        for batch_bytes in [7_000, 256 << 10] {
            let found = on_two_threads(&blobs, batch_bytes).await;
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.outcome, expected.outcome);
                assert!(found == expected, "the reports differ");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_layer_that_is_refused_early_stops_being_unpacked_and_does_not_hold_up_its_upload() {
        let bomb = gzip(&vec![0; 300 << 20]);
        let found = on_two_threads(&[bomb, gzip(&archive(2))], 1_000).await;
        assert!(
            matches!(&found[0].outcome, LayerOutcome::Refused { problem } if problem.contains("bomb")),
            "{:?}",
            found[0].outcome
        );
        assert_eq!(found[1].outcome, LayerOutcome::Walked);
    }
    #[tokio::test(flavor = "multi_thread")]
    async fn a_walk_whose_upload_is_given_up_owes_nothing_and_gives_no_report() {
        let blob = gzip(&archive(20));
        let walks = Walks::new(1, Arc::new(Metrics::new()));
        let walk = walks.begin(stored(&blob));
        walk.feed(blob.len() as u64 / 2).await;
        drop(walk);
        while !walks.backlog.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_that_are_not_in_the_file_give_no_report() {
        let blob = gzip(&archive(2));
        let walks = Walks::new(1, Arc::new(Metrics::new()));
        let walk = walks.begin(stored(&blob));
        walk.feed(blob.len() as u64 + 1).await;
        assert!(walk.finish().await.is_none());
        assert!(walks.backlog.is_empty());
    }
}
