//! Docker Engine's API, which podman's service speaks too: what `docker save` would write, asked of the socket.

use std::fs::File;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;

use super::{EngineError, MESSAGE_BYTES_MAX, READ_TIMEOUT, keep, run, unix_socket, words};

/// Where the engine listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// The engine's socket, from the value of `DOCKER_HOST`.
///
/// # Errors
/// When it names another machine.
pub fn socket(host: Option<&str>) -> Result<PathBuf, EngineError> {
    match host.filter(|host| !host.is_empty()) {
        None => Ok(PathBuf::from(SOCKET)),
        Some(host) => unix_socket("DOCKER_HOST", host),
    }
}

/// `GET /images/{name}/get` (Docker Engine API).
///
/// # Errors
/// See [`EngineError`].
pub fn save(socket: &Path, name: &str) -> Result<File, EngineError> {
    let connection = |source| EngineError::Connection { socket: socket.to_owned(), source };
    run(async {
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
                if message.len() as u64 > MESSAGE_BYTES_MAX {
                    break;
                }
            }
            return Err(EngineError::Answer { status: status.as_u16(), message: message_of(&message) });
        }
        keep(bytes.map(|piece| piece.map_err(connection))).await
    })
}

/// `{"message": "No such image: x"}`.
fn message_of(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = value.as_ref().and_then(|value| value.get("message")?.as_str());
    words(message.map_or(body, str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_is_believed_and_otherwise_the_usual_socket() {
        assert_eq!(socket(None).unwrap(), Path::new(SOCKET));
        assert_eq!(socket(Some("")).unwrap(), Path::new(SOCKET));
        assert_eq!(socket(Some("unix:///run/x.sock")).unwrap(), Path::new("/run/x.sock"));
        assert!(matches!(socket(Some("tcp://engine.example:2375")), Err(EngineError::Host { .. })));
    }
}
