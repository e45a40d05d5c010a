//! containerd: what `ctr images export` writes, an OCI layout with every platform of the image.

use std::fs::File;

use super::{EngineError, is_name, output_of, run};

/// How containerd is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerd {
    /// Its socket.
    pub address: String,
    /// Kubernetes keeps its images in `k8s.io`, Docker in `moby`.
    pub namespace: String,
    /// One platform: containerd often holds no other. `None`: all.
    pub platform: Option<String>,
}

impl Containerd {
    /// The image as an archive of an OCI layout.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn export(&self, name: &str) -> Result<File, EngineError> {
        let platform = self.platform.as_deref();
        let which: &[&str] = match &platform {
            Some(platform) => &["--platform", platform],
            None => &["--all-platforms"],
        };
        let to = ["--address", &self.address, "--namespace", &self.namespace, "images", "export"];
        // `-` is the standard output; the archive's `manifest.json` would tell the same again.
        let arguments = [&to[..], &["--skip-manifest-json"], which, &["-", name]].concat();
        run(output_of("ctr", &arguments))
    }

    /// What may stand among the arguments of a program, as a value.
    pub fn is_legal(&self) -> bool {
        let platform = self.platform.as_deref().unwrap_or("linux/amd64");
        [self.namespace.as_str(), platform].into_iter().all(is_name) && self.address.starts_with('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_can_be_taken_for_an_option() {
        let with = |address: &str, namespace: &str, platform: Option<&str>| {
            let platform = platform.map(str::to_owned);
            Containerd { address: address.into(), namespace: namespace.into(), platform }.is_legal()
        };
        assert!(with("/run/containerd/containerd.sock", "k8s.io", None));
        assert!(with("/run/containerd/containerd.sock", "default", Some("linux/arm64/v8")));
        assert!(!with("--debug", "default", None));
        assert!(!with("tcp://host:1", "default", None));
        assert!(!with("/run/c.sock", "--debug", None));
        assert!(!with("/run/c.sock", "", None));
        assert!(!with("/run/c.sock", "default", Some("--help")));
    }
}
