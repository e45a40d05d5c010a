//! File and environment → [`Config`], or every mistake at once.

mod accounts;
pub mod environment;
mod keys;
mod mistakes;
pub mod reference;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::{AccountConfig, Grants};
use crate::advisories::{self, AdvisoriesConfig, SourceConfig};
use crate::server::tls::CertificateFiles;
use crate::server::{PlainHttp, ServerLimits};
use crate::telemetry::{self, LogConfig, LogFormat};
use crate::trust::{self, TrustConfig};
use environment::Environment;
pub use mistakes::{ConfigErrors, Mistake};
use values::Values;

/// Name of the file that `portcullis serve` looks for in the working folder.
pub const FILE_NAME: &str = "portcullis.toml";
/// Receipts that end sooner would be renewed without a pause.
const RECEIPT_VALID_MIN: Duration = Duration::from_secs(60);
/// A configuration is written by people; more than this is not.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that can be configured, parsed and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Accounts with their grants; passwords of the htpasswd file included.
    pub accounts: Vec<AccountConfig>,
    /// What callers without credentials may do.
    pub anonymous: Grants,
    /// Repositories that anybody may push to, as written; each start warns about them.
    pub anonymous_push_dangerous: Vec<String>,
    /// The compiled advisories and where they come from; `None`: explicitly none.
    pub advisories: Option<AdvisoriesConfig>,
    /// Where records, blobs and keys of ours lie.
    pub data_dir: PathBuf,
    /// Garbage collection.
    pub gc: GcConfig,
    /// Passwords hashed at the same moment.
    pub hashing_threads: usize,
    /// Where we listen.
    pub listen: SocketAddr,
    /// Logs.
    pub log: LogConfig,
    /// Largest blob, in bytes.
    pub blob_bytes_max: u64,
    /// The registry's name in policies and tokens.
    pub name: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are served instead of at [`Self::listen`].
    pub operations_listen: Option<SocketAddr>,
    /// Whether plain HTTP may be spoken to others.
    pub plain_http: PlainHttp,
    /// The policy.
    pub policy_file: PathBuf,
    /// Folder of YARA rules; `None`: files are not searched by any.
    pub yara: Option<PathBuf>,
    /// How clients reach us.
    pub public_url: Option<String>,
    /// The key that receipts are signed with; `None`: none are given.
    pub receipts: Option<ReceiptsConfig>,
    /// Layers walked at the same moment.
    pub scan_threads: usize,
    /// Limits of the listener.
    pub limits: ServerLimits,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<CertificateFiles>,
    /// How often the certificate is looked at.
    pub tls_reload_interval: Duration,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// Where trusted roots are kept, and how often they are refreshed.
    pub trust: TrustConfig,
    /// Each key with the value in force, for `portcullis config check`.
    pub effective: Vec<Effective>,
}

/// What is collected as garbage, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcConfig {
    /// Pause between two rounds.
    pub interval: Duration,
    /// How long an image may stay staged.
    pub staged_for: Duration,
    /// How long a blob that nothing refers to, or an unfinished upload, is kept for a retry.
    pub unreferenced_for: Duration,
}

/// See [`Config::receipts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptsConfig {
    /// An encrypted private key, as `portcullis keys generate` writes it.
    pub key: PathBuf,
    /// A file whose first line is its password.
    pub key_password_file: PathBuf,
    /// How long a receipt is good.
    pub valid_for: Duration,
}

/// One key and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// `server.tls`
    pub section: &'static str,
    /// `certificate`
    pub name: &'static str,
    /// As TOML.
    pub value: String,
    /// Who said so.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// An environment variable.
    Environment,
    /// The file.
    File,
}

impl Config {
    /// Reads `path` and lays `environment` over it.
    ///
    /// # Errors
    /// All mistakes of file, environment and the htpasswd file, in one list.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let text = read_text(path).map_err(|problem| {
            ConfigErrors(vec![Mistake {
                key: path.display().to_string(),
                problem,
                right: "a readable TOML file",
            }])
        })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")), environment)
    }

    /// Parses `text`; relative paths in it start at `folder`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, folder: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let mut values = Values::new(text, folder, environment);
        let config = Self::read(&mut values);
        values.into_result(config)
    }

    /// Every default in force.
    ///
    /// # Errors
    /// When the environment holds mistakes.
    pub fn default_in(folder: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::parse("", folder, environment)
    }

    fn read(values: &mut Values<'_>) -> Self {
        let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        let listen = values.address("server", "listen").unwrap_or(fallback);
        let limits = ServerLimits {
            body_idle: values.duration("server", "body-timeout"),
            connections: values.count("server", "connections").unwrap_or(1),
            drain: values.duration("server", "drain-timeout"),
            header: values.duration("server", "header-timeout"),
            idle: values.duration("server", "idle-timeout"),
        };
        let dangerous = values.flag("server", "insecure-plain-http-on-public-address-DANGEROUS");
        let certificate = values.path("server.tls", "certificate");
        let tls = match (certificate, values.path("server.tls", "key")) {
            (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
            (None, None) => None,
            _ => {
                let problem = "only one of `certificate` and `key` is given".to_owned();
                values.note("server.tls", problem, "both, or neither for plain HTTP on loopback");
                None
            }
        };
        let public_url = values.url("server", "public-url");
        let name = values.text("server", "name").unwrap_or_else(|| listen.to_string());
        let anonymous_pull = values.list("access", "anonymous-pull");
        let anonymous_push_dangerous = values.list("access", "allow-anonymous-push-DANGEROUS");
        let anonymous = accounts::anonymous(&anonymous_pull, &anonymous_push_dangerous, values);
        let htpasswd = values.path("access", "htpasswd");
        let data_dir = values.path("storage", "data-dir").unwrap_or_default();
        Self {
            accounts: accounts::read(htpasswd.as_deref(), &anonymous_pull, values),
            anonymous,
            anonymous_push_dangerous,
            advisories: advisories(values),
            trust: TrustConfig {
                dir: values.path("trust", "dir").unwrap_or_else(|| data_dir.join("trust")),
                interval: values.duration("trust", "interval").max(trust::INTERVAL_MIN),
            },
            data_dir,
            gc: GcConfig {
                interval: values.duration("gc", "interval"),
                staged_for: values.duration("gc", "staged-for"),
                unreferenced_for: values.duration("gc", "unreferenced-for"),
            },
            hashing_threads: values.count("access", "hashing-threads").unwrap_or(1),
            listen,
            log: log(values),
            blob_bytes_max: values.size("storage", "max-blob-size"),
            name,
            operations_listen: values.address("server", "operations-listen"),
            plain_http: if dangerous { PlainHttp::AnywhereDangerous } else { PlainHttp::LoopbackOnly },
            policy_file: values.path("policy", "file").unwrap_or_default(),
            yara: values.path("malware", "yara"),
            public_url,
            receipts: receipts(values),
            scan_threads: values.count("scan", "threads").unwrap_or_else(processors),
            limits,
            tls,
            tls_reload_interval: values.duration("server.tls", "reload-interval"),
            token_lifetime: values.duration("access", "token-lifetime"),
            effective: values.take_effective(),
        }
    }

    /// The values in force as TOML with their origin, secrets masked.
    pub fn render(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let mut section = "";
        for effective in &self.effective {
            if effective.section != section {
                section = effective.section;
                let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
            }
            let origin = match effective.origin {
                Origin::Default => "",
                Origin::Environment => "  # from the environment",
                Origin::File => "  # from the file",
            };
            let _ = writeln!(text, "{} = {}{origin}", effective.name, effective.value);
        }
        for account in &self.accounts {
            let password = if account.password.is_some() { "****" } else { "" };
            let _ = writeln!(text, "\n[[account]]\nname = {:?}\npassword-hash = {password:?}", account.name);
        }
        text
    }
}

fn advisories(values: &mut Values<'_>) -> Option<AdvisoriesConfig> {
    let file = values.path("advisories", "file");
    let interval = values.duration("advisories", "interval").max(advisories::INTERVAL_MIN);
    let mut sources = Vec::new();
    for (index, source) in values.advisory_sources().into_iter().enumerate() {
        match source.try_into::<SourceConfig>() {
            Ok(source) => sources.push(source),
            Err(error) => {
                let place = format!("advisories.sources[{index}]");
                values.note(&place, error.message().to_owned(), "`name` and `url`");
            }
        }
    }
    if file.is_none() && !sources.is_empty() {
        let problem = "there are sources but no `file` to compile them into".to_owned();
        values.note("advisories.file", problem, "a path");
    }
    file.map(|file| AdvisoriesConfig { file, sources, interval })
}

fn receipts(values: &mut Values<'_>) -> Option<ReceiptsConfig> {
    let valid_for = values.duration("receipts", "valid-for").max(RECEIPT_VALID_MIN);
    match (values.path("receipts", "key"), values.path("receipts", "key-password-file")) {
        (Some(key), Some(key_password_file)) => Some(ReceiptsConfig { key, key_password_file, valid_for }),
        (None, None) => None,
        _ => {
            let problem = "only one of `key` and `key-password-file` is given".to_owned();
            values.note("receipts", problem, "both, or neither to give no receipts");
            None
        }
    }
}

/// One walk keeps one processor busy.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn log(values: &mut Values<'_>) -> LogConfig {
    let format = match values.text("log", "format").as_deref() {
        Some("text") => LogFormat::Text,
        _ => LogFormat::Json,
    };
    let level = values.text("log", "level").unwrap_or_default();
    if let Err(error) = telemetry::check_filter(&level) {
        values.note("log.level", error.to_string(), "`info`, `debug`, or `warn,portcullis::judge=debug`");
    }
    LogConfig { format, level, requests: values.flag("log", "requests") }
}

fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 >= FILE_BYTES_MAX {
        return Err(format!("the file is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
