//! Who we are towards a registry: from arguments, else from the file that `docker login` writes.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use oci_distribution::secrets::RegistryAuth;
use serde::Deserialize;

/// Largest `config.json` read, in bytes.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Why the login file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It is there but cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not what `docker login` writes. The parser's message is left out: it could repeat a secret.
    #[error("`{0}` is not a Docker configuration file")]
    Malformed(String),
    /// The entry of this registry.
    #[error("`{file}`: the entry of `{registry}` is not base64 of `user:password`")]
    Entry {
        /// Which file.
        file: String,
        /// Which registry.
        registry: String,
    },
    /// Kept by another program.
    #[error(
        "`{file}` leaves the credentials of `{registry}` to the helper `{helper}`, which is not asked; pass user name and password by argument or environment"
    )]
    Helper {
        /// Which file.
        file: String,
        /// Which registry.
        registry: String,
        /// The helper's short name.
        helper: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
}

/// The credentials that the login file holds for `registry`; anonymous when there is no file or no entry.
pub fn from_docker_config(file: &Path, registry: &str) -> Result<RegistryAuth, CredentialsError> {
    let shown = file.display().to_string();
    let bytes = match std::fs::metadata(file) {
        Ok(metadata) if metadata.len() <= CONFIG_BYTES_MAX => {
            std::fs::read(file).map_err(|source| CredentialsError::Read { file: shown.clone(), source })?
        }
        Ok(_) => return Err(CredentialsError::Malformed(shown)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(source) => return Err(CredentialsError::Read { file: shown, source }),
    };
    let config: DockerConfig =
        serde_json::from_slice(&bytes).map_err(|_| CredentialsError::Malformed(shown.clone()))?;
    let entry = config.auths.iter().find(|(key, entry)| host_of(key) == registry && !entry.auth.is_empty());
    if let Some((_, entry)) = entry {
        let decoded = BASE64.decode(&entry.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((user, password)) => Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned())),
            None => Err(CredentialsError::Entry { file: shown, registry: registry.to_owned() }),
        };
    }
    let is_listed = config.auths.keys().any(|key| host_of(key) == registry);
    let helper = config.cred_helpers.get(registry).or(config.creds_store.as_ref().filter(|_| is_listed));
    match helper {
        Some(helper) => Err(CredentialsError::Helper {
            file: shown,
            registry: registry.to_owned(),
            helper: helper.clone(),
        }),
        None => Ok(RegistryAuth::Anonymous),
    }
}

/// Keys are hosts, or the addresses that old clients wrote: `https://index.docker.io/v1/`.
fn host_of(key: &str) -> &str {
    let host = key.trim_start_matches("https://").trim_start_matches("http://");
    match host.split('/').next().unwrap_or_default() {
        "index.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, registry: &str) -> Result<RegistryAuth, CredentialsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        from_docker_config(file.path(), registry)
    }

    #[test]
    fn the_entry_of_exactly_this_registry_is_used() {
        let config = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOjE="},
            "a.example:5000": {"auth": "dXNlcjpwYXNzOndvcmQ="}, "bad.example": {"auth": "%%%"}, "kept.example": {}},
            "credsStore": "desktop"}"#;
        let basic = |user: &str, password: &str| RegistryAuth::Basic(user.into(), password.into());
        assert_eq!(read(config, "a.example:5000").unwrap(), basic("user", "pass:word"));
        assert_eq!(read(config, "docker.io").unwrap(), basic("hub", "1"));
        assert_eq!(read(config, "a.example").unwrap(), RegistryAuth::Anonymous);
        assert!(matches!(read(config, "bad.example"), Err(CredentialsError::Entry { .. })));
        assert!(matches!(read(config, "kept.example"), Err(CredentialsError::Helper { .. })));
        assert!(matches!(read("{", "a.example"), Err(CredentialsError::Malformed(_))));
        assert_eq!(from_docker_config(Path::new("/absent"), "a").unwrap(), RegistryAuth::Anonymous);
    }
}
