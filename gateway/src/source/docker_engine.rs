//! An image in a Docker Engine: what `docker save` would write, asked of the engine's own socket.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;

use super::archive::INFLATED_BYTES_MAX;

/// Where the engine listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// How long the engine may stay silent: it packs the image before the first byte comes.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest text of a refusal that is told.
const MESSAGE_BYTES_MAX: usize = 1000;

/// Why the engine's image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `DOCKER_HOST` names no socket of this machine.
    #[error("`DOCKER_HOST={0}`: only `unix://…` is read")]
    Host(String),
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
    /// It is larger than anything that is read.
    #[error("the image has more than {INFLATED_BYTES_MAX} bytes")]
    TooLarge,
}

/// The engine's socket, from the value of `DOCKER_HOST`.
///
/// # Errors
/// When it names another machine.
pub fn socket(host: Option<&str>) -> Result<PathBuf, EngineError> {
    match host.filter(|host| !host.is_empty()) {
        None => Ok(PathBuf::from(SOCKET)),
        Some(host) => {
            host.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| EngineError::Host(host.to_owned()))
        }
    }
}

/// Whether a text may stand in the path of the request: a reference or the beginning of an id.
pub(super) fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
    !name.is_empty() && name.len() <= 1024 && name.bytes().all(legal) && !name.contains("..")
}

/// `GET /images/{name}/get` (Docker Engine API), into a file without a name.
pub(super) fn save(socket: &Path, name: &str) -> Result<File, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connection = |source| EngineError::Connection { socket: socket.to_owned(), source };
    runtime.block_on(async {
        let client = reqwest::Client::builder().unix_socket(socket).read_timeout(READ_TIMEOUT).no_proxy();
        let client = client.build().map_err(connection)?;
        // The engine reads the path and nothing else; there is no host behind a socket.
        let url = format!("http://localhost/images/{name}/get");
        let answer = client.get(url).send().await.map_err(connection)?;
        let status = answer.status();
        let mut bytes = answer.bytes_stream();
        if !status.is_success() {
            let mut message = Vec::new();
            while let Some(piece) = bytes.next().await {
                message.extend_from_slice(&piece.map_err(connection)?);
                if message.len() > MESSAGE_BYTES_MAX {
                    break;
                }
            }
            return Err(EngineError::Answer { status: status.as_u16(), message: message_of(&message) });
        }
        let mut file = tempfile::tempfile()?;
        let mut total = 0_u64;
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(connection)?;
            total += piece.len() as u64;
            if total > INFLATED_BYTES_MAX {
                return Err(EngineError::TooLarge);
            }
            file.write_all(&piece)?;
        }
        file.rewind()?;
        Ok(file)
    })
}

/// `{"message": "No such image: x"}`.
fn message_of(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = value.as_ref().and_then(|value| value.get("message")?.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    crate::gate::words::printable(text.trim(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_of_this_machine_is_asked() {
        assert_eq!(socket(None).unwrap(), Path::new(SOCKET));
        assert_eq!(socket(Some("")).unwrap(), Path::new(SOCKET));
        assert_eq!(
            socket(Some("unix:///run/user/1/docker.sock")).unwrap(),
            Path::new("/run/user/1/docker.sock")
        );
        assert!(matches!(socket(Some("tcp://engine.example:2375")), Err(EngineError::Host(_))));
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        for name in ["app", "registry.example:5000/team/app:1.2", "app@sha256:00", "0123abcd"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "../containers/x", "app?x=1", "app#x", "app x", "app%2f", "a\nb"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
