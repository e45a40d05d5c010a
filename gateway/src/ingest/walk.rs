//! The walk of one layer on two threads: one undoes the compression, the other reads what comes out.
//!
//! Clients push large layers one after another, and a compressed stream can only be undone from its begin: on one thread
//! a single layer would use one core while the others idle. Both queues are short, so that a slow half stops the other,
//! and in the end the socket.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use scanner::layer::{ArchiveWalk, LayerReport, Unpack, UnpackEnd};
use scanner::limits::Limits;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::telemetry::Metrics;

/// Batches of an upload that may wait to be unpacked.
const QUEUE_BATCHES: usize = 4;

/// Unpacked bytes that are handed over at once: enough that the hop costs nothing beside the work.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait to be read.
const QUEUE_PIECES: usize = 4;

/// Begins walks, and bounds how many run at the same moment.
#[derive(Debug)]
pub(super) struct Walks {
    /// Each half has places of its own: one that waits for the other must not hold what the other waits for.
    unpacking: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A walk that goes on while its upload arrives.
#[derive(Debug)]
pub(super) struct Walk {
    batches: mpsc::Sender<Vec<Bytes>>,
    report: JoinHandle<Option<LayerReport>>,
}

/// A piece of the archive, and how many bytes of the blob had come by then.
type Piece = (Vec<u8>, u64);

impl Walks {
    /// `threads`: how many layers may be unpacked at the same moment, and as many read.
    pub(super) fn new(threads: usize, metrics: Arc<Metrics>) -> Self {
        let places = || Arc::new(Semaphore::new(threads.max(1)));
        Self { unpacking: places(), reading: places(), metrics }
    }

    pub(super) fn begin(&self) -> Walk {
        let (batches, to_unpack) = mpsc::channel(QUEUE_BATCHES);
        let (pieces, to_read) = mpsc::channel(QUEUE_PIECES);
        let unpacking = tokio::spawn(unpack(to_unpack, pieces, Arc::clone(&self.unpacking)));
        let reading = read(to_read, Arc::clone(&self.reading), Arc::clone(&self.metrics));
        let report = tokio::spawn(async move {
            let archive = reading.await?;
            let end = unpacking.await.ok()??;
            spawn_blocking(move || archive.finish(end)).await.ok()
        });
        Walk { batches, report }
    }
}

impl Walk {
    pub(super) async fn feed(&self, batch: Vec<Bytes>) {
        // A closed queue means that the walk died; no report is stored then, and the gate will not call the layer clean.
        drop(self.batches.send(batch).await);
    }

    /// `None`: the walk panicked, which is a bug of ours; the layer then counts as not looked at.
    pub(super) async fn finish(self) -> Result<Option<LayerReport>, JoinError> {
        drop(self.batches);
        self.report.await
    }
}

async fn unpack(
    mut queue: mpsc::Receiver<Vec<Bytes>>,
    pieces: mpsc::Sender<Piece>,
    places: Arc<Semaphore>,
) -> Option<UnpackEnd> {
    let mut unpack = Unpack::new();
    let mut pieces = Pieces { gathered: Vec::new(), packed: 0, to: pieces };
    while let Some(batch) = queue.recv().await {
        let _place = places.acquire().await.ok()?;
        let fed = spawn_blocking(move || {
            for bytes in &batch {
                unpack.feed(bytes, |unpacked, packed| pieces.take(unpacked, packed));
            }
            (unpack, pieces)
        });
        (unpack, pieces) = fed.await.ok()?;
    }
    let finish = move || {
        let end = unpack.finish(|unpacked, packed| pieces.take(unpacked, packed));
        // Whoever reads has stopped, and will say why.
        let _: ControlFlow<()> = pieces.hand_over();
        end
    };
    spawn_blocking(finish).await.ok()
}

async fn read(
    mut queue: mpsc::Receiver<Piece>,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
) -> Option<ArchiveWalk> {
    let mut archive = ArchiveWalk::new(Limits::default());
    while let Some((piece, packed)) = queue.recv().await {
        metrics.scan_queue_depth.inc();
        let place = places.acquire().await;
        metrics.scan_queue_depth.dec();
        let _place = place.ok()?;
        metrics.scan_threads_busy.inc();
        let read = spawn_blocking(move || (archive.feed(&piece, packed), archive)).await;
        metrics.scan_threads_busy.dec();
        let flow;
        (flow, archive) = read.ok()?;
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

    /// More than one walk at a time, on one place of each half.
    async fn on_two_threads(blobs: &[Vec<u8>], batch_bytes: usize) -> Vec<LayerReport> {
        let walks = Walks::new(1, Arc::new(Metrics::new()));
        let begun: Vec<Walk> = blobs.iter().map(|_| walks.begin()).collect();
        let fed = begun.into_iter().zip(blobs).map(|(walk, blob)| async move {
            for batch in blob.chunks(batch_bytes) {
                walk.feed(batch.chunks(1000).map(Bytes::copy_from_slice).collect()).await;
            }
            walk.finish().await.unwrap().expect("nothing panics")
        });
        futures_util::future::join_all(fed).await
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
}
