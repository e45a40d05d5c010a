//! An image in a container engine of this machine: asked of the engine's own socket, or of its own program where there is no
//! socket that hands images out. What comes is kept in a file without a name.

pub mod containerd;
pub mod docker;
pub mod podman;

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::archive::INFLATED_BYTES_MAX;
use crate::gate::words::printable;

/// How long the engine may stay silent: it packs the image before the first byte comes.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest text of a refusal that is kept.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// Bytes read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Why the engine's image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The variable names no socket of this machine.
    #[error("`{variable}={value}`: only `unix://…` is read")]
    Host {
        /// `DOCKER_HOST`.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// No such image, or no permission.
    #[error("the engine answers {status}: {message}")]
    Answer {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The connection.
    #[error("cannot reach the engine at `{}`", socket.display())]
    Connection {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The disk of the temporary file, or no runtime.
    #[error("cannot keep the engine's answer")]
    Disk(#[from] std::io::Error),
    /// The engine's program ended with an error.
    #[error("`{program}` ended with {status}: {message}")]
    Failed {
        /// `podman save`.
        program: String,
        /// Its end.
        status: std::process::ExitStatus,
        /// Its words.
        message: String,
    },
    /// The engine's program is not here.
    #[error("cannot run `{program}`")]
    Program {
        /// `podman`.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing came for too long.
    #[error("the engine was silent for {} seconds", READ_TIMEOUT.as_secs())]
    Silent,
    /// It is larger than anything that is read.
    #[error("the image has more than {INFLATED_BYTES_MAX} bytes")]
    TooLarge,
}

/// Whether a text may stand in the path of a request and among the arguments of a program: a reference or the beginning of
/// an id.
pub(super) fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && name.len() <= 1024 && name.bytes().all(legal) && !name.contains("..")
}

/// The socket in a variable such as `DOCKER_HOST`.
fn unix_socket(variable: &'static str, value: &str) -> Result<PathBuf, EngineError> {
    let path = value.strip_prefix("unix://").filter(|path| path.starts_with('/'));
    path.map(PathBuf::from).ok_or_else(|| EngineError::Host { variable, value: value.to_owned() })
}

/// Whatever is asked of an engine is asked by one thread that waits for it.
fn run<T>(asking: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asking)
}

/// Keeps what comes in a file without a name.
async fn keep<B: AsRef<[u8]>>(
    mut pieces: impl Stream<Item = Result<B, EngineError>> + Unpin,
) -> Result<File, EngineError> {
    let mut file = tempfile::tempfile()?;
    let mut total = 0_u64;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        total = total.saturating_add(piece.as_ref().len() as u64);
        if total > INFLATED_BYTES_MAX {
            return Err(EngineError::TooLarge);
        }
        file.write_all(piece.as_ref())?;
    }
    file.rewind()?;
    Ok(file)
}

/// What a program of the engine writes to its standard output. It ends with us, whatever happens here.
async fn output_of(program: &'static str, arguments: &[&str]) -> Result<File, EngineError> {
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| EngineError::Program { program, source })?;
    let lost = || EngineError::Disk(std::io::Error::other("the program has no output"));
    let (written, told) = (child.stdout.take().ok_or_else(lost)?, child.stderr.take().ok_or_else(lost)?);
    // Read beside the output: a program whose words nobody takes would stop in the middle.
    let message = tokio::spawn(async move {
        let (mut message, mut rest) = (Vec::new(), told);
        let _ = (&mut rest).take(MESSAGE_BYTES_MAX).read_to_end(&mut message).await;
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        message
    });
    let pieces = tokio_stream_timeout(ReaderStream::with_capacity(written, PIECE_BYTES));
    let file = keep(Box::pin(pieces)).await?;
    let status =
        tokio::time::timeout(READ_TIMEOUT, child.wait()).await.map_err(|_| EngineError::Silent)??;
    if !status.success() {
        let message = message.await.unwrap_or_default();
        let program = [&[program], arguments].concat().join(" ");
        return Err(EngineError::Failed { program, status, message: words(&message) });
    }
    Ok(file)
}

/// Each piece within its time.
fn tokio_stream_timeout<B>(
    pieces: impl Stream<Item = std::io::Result<B>> + Unpin,
) -> impl Stream<Item = Result<B, EngineError>> {
    futures_util::stream::unfold(pieces, async |mut pieces| {
        match tokio::time::timeout(READ_TIMEOUT, pieces.next()).await {
            Ok(Some(piece)) => Some((piece.map_err(EngineError::Disk), pieces)),
            Ok(None) => None,
            Err(_) => Some((Err(EngineError::Silent), pieces)),
        }
    })
}

/// An engine's own words, fit for a line.
fn words(text: &[u8]) -> String {
    printable(String::from_utf8_lossy(text).trim(), 300)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_name_is_neither_an_option_nor_another_path() {
        for name in ["app", "registry.example:5000/team/app:1.2", "app@sha256:00", "0123abcd"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "../containers/x",
            "app?x=1",
            "app#x",
            "app x",
            "app%2f",
            "a\nb",
            "--output=/etc/passwd",
            "-",
            "/x",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn only_a_socket_of_this_machine_is_asked() {
        assert_eq!(
            unix_socket("X", "unix:///run/user/1/x.sock").unwrap(),
            PathBuf::from("/run/user/1/x.sock")
        );
        for value in
            ["tcp://engine.example:2375", "unix://", "unix://relative", "/run/x.sock", "ssh://root@host/x"]
        {
            assert!(matches!(unix_socket("X", value), Err(EngineError::Host { .. })), "{value}");
        }
    }

    #[test]
    fn a_program_s_output_is_kept_and_its_failure_is_told() {
        let mut text = String::new();
        run(output_of("printf", &["%s", "hello"])).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        let failed = run(output_of("sh", &["-c", "printf half; printf 'no such\timage' >&2; exit 3"]));
        let told = failed.unwrap_err().to_string();
        assert!(told.contains("exit status: 3") && told.ends_with("no such image"), "{told}");
        let absent = run(output_of("portcullis-no-such-program", &[]));
        assert!(matches!(absent, Err(EngineError::Program { .. })));
        // Words without end neither fill the memory nor stop the program.
        let loud = run(output_of("sh", &["-c", "head -c 1000000 /dev/zero >&2; printf done; exit 1"]));
        assert!(matches!(loud, Err(EngineError::Failed { .. })));
    }
}
