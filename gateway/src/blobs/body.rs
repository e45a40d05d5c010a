//! A response body that reads a file in large pieces: from the page cache without leaving the thread, from the disk on a
//! blocking thread.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::read_at;

/// Bytes read at once. Large enough that a system call costs nothing beside the copy, small enough to stay in the
/// processor's second-level cache between the read and the send.
const PIECE_BYTES: usize = 256 * 1024;
/// Buffers kept for the next response; more than this are freed.
const SPARE_BUFFERS_MAX: usize = 32;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer that goes back to the spares when the last reference is gone: making and zeroing one for each piece would
/// cost as much as the read.
struct Piece {
    buffer: Vec<u8>,
    len: usize,
}

impl Piece {
    fn take() -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { buffer: spare.unwrap_or_else(|| vec![0; PIECE_BYTES]), len: 0 }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX {
            spare.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// A range of a file on its way to a client.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// The bytes from `start`, `len` of them.
    pub fn new(file: Arc<File>, start: u64, len: u64) -> Self {
        Self { file, at: start, left: len, reading: None }
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)
    }

    fn advance(&mut self, piece: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.at += count;
        self.left = self.left.saturating_sub(count);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// Reads what the page cache holds; `None` when the disk would have to be waited for.
fn read_cached(file: &File, wanted: usize, at: u64) -> Option<Bytes> {
    let mut piece = Piece::take();
    let mut slices = [IoSliceMut::new(&mut piece.buffer[..wanted])];
    match rustix::io::preadv2(file, &mut slices, at, rustix::io::ReadWriteFlags::NOWAIT) {
        Ok(0) | Err(_) => None,
        Ok(count) => {
            piece.len = count;
            Some(Bytes::from_owner(piece))
        }
    }
}

/// Reads `wanted` bytes, waiting for the disk.
fn read_waiting(file: &File, wanted: usize, at: u64) -> io::Result<Bytes> {
    let mut piece = Piece::take();
    piece.len = read_at(file, &mut piece.buffer[..wanted], at)?;
    if piece.len < wanted {
        // The announced length can no longer be sent: cut the connection rather than end the body as if it were whole.
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(Bytes::from_owner(piece))
}

/// Reads a small range in one call, waiting for the disk if it must: for bodies that fit one piece.
pub fn read_small(file: &File, start: u64, len: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; len];
    if read_at(file, &mut buffer, start)? < len {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(Bytes::from(buffer))
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            let wanted = self.wanted();
            if let Some(piece) = read_cached(&self.file, wanted, self.at) {
                return self.advance(piece);
            }
            let (file, at) = (Arc::clone(&self.file), self.at);
            self.reading = Some(tokio::task::spawn_blocking(move || read_waiting(&file, wanted, at)));
        }
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        match Pin::new(reading).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.reading = None;
                match outcome {
                    Ok(Ok(piece)) => self.advance(piece),
                    Ok(Err(error)) => Poll::Ready(Some(Err(error))),
                    Err(stopped) => Poll::Ready(Some(Err(io::Error::other(stopped)))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_range_of_a_large_file_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &content).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        for (start, len) in [(0, content.len()), (1, 1), (777_777, 2_000_001), (content.len() - 5, 5), (9, 0)]
        {
            let body = FileBody::new(Arc::clone(&file), start as u64, len as u64);
            let got = body.collect().await.unwrap().to_bytes();
            assert!(got == content[start..start + len], "{start} + {len}");
        }
        let beyond = FileBody::new(file, content.len() as u64 - 5, 6);
        assert!(beyond.collect().await.is_err(), "a file that shrank is an error, not an end");
    }
}
