//! The arguments that say how to reach a registry, the same for every subcommand that does.

use std::path::PathBuf;

use anyhow::Context as _;
use oci_distribution::secrets::RegistryAuth;

use super::UsageError;
use crate::reference::ImageReference;
use crate::source::credentials;
use crate::source::gateway::Gateway;
use crate::source::notary::{address, host_of};
use crate::source::registry::{Access, PlainHttp, Remote};

/// How to reach the registry.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(super) struct RegistryAccess {
    /// User name; without it the file that `docker login` or `podman login` wrote is read.
    #[arg(long, env = "PORTCULLIS_REGISTRY_USERNAME", value_name = "NAME")]
    username: Option<String>,
    /// File with the password; `-` reads standard input. The variable PORTCULLIS_REGISTRY_PASSWORD works, too.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Only from the environment: arguments can be read by every process.
    #[arg(long, env = "PORTCULLIS_REGISTRY_PASSWORD", hide = true, hide_env_values = true)]
    registry_password_from_environment: Option<String>,
    /// File with credentials, instead of Docker's and podman's own.
    #[arg(long, env = "REGISTRY_AUTH_FILE", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    #[arg(long, env = "DOCKER_CONFIG", hide = true)]
    docker_config_directory: Option<PathBuf>,
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true)]
    runtime_directory: Option<PathBuf>,
    /// PEM file with certificate authorities to trust beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Talk to a registry on another machine without TLS. Whoever sits between sees passwords and can move tags.
    #[arg(long = "insecure-plain-http")]
    insecure_plain_http: bool,
}

impl RegistryAccess {
    /// A client for the repository of `reference`.
    pub(super) fn remote(&self, reference: &ImageReference) -> anyhow::Result<Remote> {
        self.connect(reference, self.auth(reference.registry())?)
    }

    /// The same without the credentials of a stored login, which are often a producer's: only those of the arguments
    /// are used, else none.
    pub(super) fn remote_without_login(&self, reference: &ImageReference) -> anyhow::Result<Remote> {
        let auth = self.given()?.unwrap_or(RegistryAuth::Anonymous);
        self.connect(reference, auth)
    }

    /// A client for what a gateway offers beside a registry's endpoints.
    pub(super) fn gateway(&self, reference: &ImageReference) -> anyhow::Result<Gateway> {
        Ok(Gateway::connect(reference, &self.access(self.auth(reference.registry())?)?)?)
    }

    /// How to reach a Notary server: with the stored login of its own host, for a name and password among the arguments
    /// are the registry's.
    pub(super) fn access_to_server(&self, url: &str) -> anyhow::Result<Access> {
        let access = self.access(RegistryAuth::Anonymous)?;
        let address = address(url, access.insecure_plain_http)?;
        Ok(Access { auth: self.stored(&host_of(&address))?, ..access })
    }

    fn connect(&self, reference: &ImageReference, auth: RegistryAuth) -> anyhow::Result<Remote> {
        Ok(Remote::connect(reference, self.access(auth)?)?)
    }

    fn access(&self, auth: RegistryAuth) -> anyhow::Result<Access> {
        let certificate_authorities = match &self.ca_file {
            Some(file) => std::fs::read(file)
                .with_context(|| UsageError(format!("cannot read `--ca-file {}`", file.display())))?,
            None => Vec::new(),
        };
        let insecure_plain_http =
            if self.insecure_plain_http { PlainHttp::Anywhere } else { PlainHttp::Loopback };
        Ok(Access { auth, certificate_authorities, insecure_plain_http })
    }

    fn given(&self) -> anyhow::Result<Option<RegistryAuth>> {
        if let Some(username) = &self.username {
            let password = match (&self.password_file, &self.registry_password_from_environment) {
                (Some(file), _) => super::secret_input::line_of(file)?,
                (None, Some(password)) => password.clone(),
                (None, None) => {
                    let message =
                        "`--username` needs `--password-file` or the variable `PORTCULLIS_REGISTRY_PASSWORD`";
                    return Err(UsageError(message.to_owned()).into());
                }
            };
            return Ok(Some(RegistryAuth::Basic(username.clone(), password)));
        }
        Ok(None)
    }

    fn auth(&self, registry: &str) -> anyhow::Result<RegistryAuth> {
        if let Some(auth) = self.given()? {
            return Ok(auth);
        }
        self.stored(registry)
    }

    fn stored(&self, registry: &str) -> anyhow::Result<RegistryAuth> {
        for file in self.login_files() {
            let auth = credentials::from_docker_config(&file, registry)
                .with_context(|| UsageError("cannot use the stored credentials".to_owned()))?;
            if auth != RegistryAuth::Anonymous {
                return Ok(auth);
            }
        }
        Ok(RegistryAuth::Anonymous)
    }

    /// Where `docker login`, `podman login` and `skopeo login` write (containers-auth.json(5)), in the order they are
    /// asked.
    fn login_files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.auth_file {
            return vec![file.clone()];
        }
        let home = std::env::home_dir();
        let docker =
            self.docker_config_directory.clone().or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let runtime =
            self.runtime_directory.as_ref().map(|directory| directory.join("containers")).unwrap_or_else(
                || PathBuf::from(format!("/run/containers/{}", rustix::process::getuid().as_raw())),
            );
        let mut files = vec![runtime.join("auth.json")];
        files.extend(home.map(|home| home.join(".config/containers/auth.json")));
        files.extend(docker.map(|directory| directory.join("config.json")));
        files
    }
}
