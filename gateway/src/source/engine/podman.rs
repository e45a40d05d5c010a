//! podman: its service speaks Docker's API; where none listens, `podman save` writes the same.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{EngineError, docker, output_of, run, unix_socket};

/// Where root's service listens.
const SOCKET: &str = "/run/podman/podman.sock";
/// Where anybody else's does, below `XDG_RUNTIME_DIR`.
const USER_SOCKET: &str = "podman/podman.sock";

/// How podman is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Podman {
    /// By `podman save`.
    Program,
    /// By its service.
    Socket(PathBuf),
}

impl Podman {
    /// The service that `CONTAINER_HOST` names; else the caller's own, else root's, if one listens; else the program.
    ///
    /// # Errors
    /// When it names another machine.
    pub fn find(host: Option<&str>, runtime_dir: Option<&Path>) -> Result<Self, EngineError> {
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            return unix_socket("CONTAINER_HOST", host).map(Self::Socket);
        }
        let own = runtime_dir.map(|folder| folder.join(USER_SOCKET));
        let found = own.into_iter().chain([PathBuf::from(SOCKET)]).find(|socket| socket.exists());
        Ok(found.map_or(Self::Program, Self::Socket))
    }

    /// The image as a Docker archive.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn save(&self, name: &str) -> Result<File, EngineError> {
        match self {
            Self::Program => {
                run(output_of("podman", &["save", "--quiet", "--format", "docker-archive", name]))
            }
            Self::Socket(socket) => docker::save(socket, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_named_is_asked_and_no_other_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let named = Podman::find(Some("unix:///run/p.sock"), Some(folder.path())).unwrap();
        assert_eq!(named, Podman::Socket(PathBuf::from("/run/p.sock")), "though nobody listens there");
        for host in ["ssh://root@host/run/podman/podman.sock", "tcp://127.0.0.1:8080"] {
            assert!(matches!(Podman::find(Some(host), None), Err(EngineError::Host { .. })), "{host}");
        }
        std::fs::create_dir(folder.path().join("podman")).unwrap();
        let socket = folder.path().join(USER_SOCKET);
        std::fs::write(&socket, b"").unwrap();
        assert_eq!(Podman::find(None, Some(folder.path())).unwrap(), Podman::Socket(socket.clone()));
        assert_eq!(Podman::find(Some(""), Some(folder.path())).unwrap(), Podman::Socket(socket));
    }
}
