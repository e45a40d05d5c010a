//! Builds all parts once, in order, and runs them: [`App::build`], then [`App::run`].

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::{Router, middleware};
use keys::keyring::{self, Password};
use keys::limits::KEY_FILE_BYTES_MAX;
use keys::signer::Signer;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::access::{self, Access, AccessConfig, AccessError, TokenKey, TokenKeyError};
use crate::admission;
use crate::advisories::fetch::FetchError;
use crate::advisories::update::spawn_updates;
use crate::advisories::{AdvisoryStore, StoreError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::gate::policy::Policy;
use crate::gc::GcConfig;
use crate::judge::ReceiptConfig;
use crate::malware::{FolderError, RuleStore};
use crate::policy_file::{self, PolicyFileError};
use crate::registry::{self, Registry, RegistryConfig, Surroundings};
use crate::server::operations::{self, Check, Probe};
use crate::server::tls::{CertificateError, CertificateStore};
use crate::server::{self, ListenError, Listener, PlainHttp, Serving};
use crate::telemetry::{Metrics, RequestIds};
use crate::trust::{self, Refresher};

/// Name of the file that keeps a second gateway off the same data.
const LOCK_FILE: &str = "lock";
/// Name of the file that tokens are signed with.
const TOKEN_KEY_FILE: &str = "token.key";
/// How often the ages of advisories and trust roots are written down.
const AGE_INTERVAL: Duration = Duration::from_secs(15);

/// A gateway that is built and bound, and not yet serving.
#[derive(Debug)]
pub struct App {
    advisories: Arc<AdvisoryStore>,
    certificates: Option<Arc<CertificateStore>>,
    clock: Clock,
    config: Config,
    listener: Listener,
    metrics: Arc<Metrics>,
    operations_listener: Option<Listener>,
    policy: Arc<ArcSwap<Policy>>,
    registry: Arc<Registry>,
    router: Router,
    rules: Arc<RuleStore>,
    /// Held as long as the gateway lives; the system lets go of it even after a kill.
    _lock: File,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The accounts cannot be used together.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The advisories cannot be used.
    #[error(transparent)]
    Advisories(#[from] StoreError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The data folder cannot be made or locked.
    #[error("the data folder `{}` cannot be used", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Updates of the advisories cannot be set up.
    #[error("advisories cannot be fetched")]
    Fetch(#[from] FetchError),
    /// Another gateway works on the same data.
    #[error("another gateway uses the data folder `{}`", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// An address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The key for receipts cannot be used.
    #[error("cannot use the key for receipts `{}`", path.display())]
    ReceiptKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The policy asks for what the configuration has no key for.
    #[error(
        "rule `{rule}` has `serve-as`, which asks the gate to sign; give it a key: `[receipts]` in the configuration"
    )]
    NoKey {
        /// Which rule.
        rule: String,
    },
    /// There is no usable policy.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The YARA rules cannot be used.
    #[error(transparent)]
    Rules(#[from] FolderError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] registry::OpenError),
    /// The key for tokens cannot be had.
    #[error(transparent)]
    TokenKey(#[from] TokenKeyError),
    /// Refreshes of the trust roots cannot be set up.
    #[error("trust roots cannot be fetched")]
    Trust(#[from] trust::fetch::FetchError),
}

impl App {
    /// Builds everything in the order of dependence, and binds the addresses last: what listens can answer.
    ///
    /// # Errors
    /// At the first part that cannot be built.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, AppError> {
        let lock = claim(&config.data_dir)?;
        let certificates = config.tls.clone().map(CertificateStore::load).transpose()?.map(Arc::new);
        let metrics = Arc::new(Metrics::new());
        let access = Arc::new(open_access(&config, &clock)?);
        let policy = read_policy(&config)?;
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let advisories = match &config.advisories {
            Some(advisories) => AdvisoryStore::open(&advisories.file)?,
            None => AdvisoryStore::empty(),
        };
        let rules = match &config.yara {
            Some(folder) => RuleStore::open(folder)?,
            None => RuleStore::none(),
        };
        let registry_config = RegistryConfig {
            data_dir: config.data_dir.clone(),
            name: config.name.clone(),
            blob_bytes_max: config.blob_bytes_max,
            scan_threads: config.scan_threads,
        };
        let around = Surroundings {
            access: access.clone(),
            policy: policy.clone(),
            advisories: advisories.clone(),
            rules: rules.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            receipts: receipts(&config)?,
        };
        let registry = Arc::new(Registry::open(registry_config, around)?);
        let listener = Listener::bind(config.listen, certificates.clone(), config.plain_http).await?;
        let operations_listener = match config.operations_listen {
            // What this address tells is for operators; who can reach it is theirs to say.
            Some(address) => Some(Listener::bind(address, None, PlainHttp::AnywhereDangerous).await?),
            None => None,
        };
        let names = names(&config, &listener);
        let router = router(&access, &registry, &names);
        Ok(Self {
            advisories,
            certificates,
            clock,
            config,
            listener,
            metrics,
            operations_listener,
            policy,
            registry,
            router,
            rules,
            _lock: lock,
        })
    }

    /// `http://127.0.0.1:5000`, with the port really bound.
    pub fn url(&self) -> String {
        let address = self.listener.address().unwrap_or(self.config.listen);
        format!("{}://{address}", self.listener.scheme())
    }

    /// Serves until `shutdown` resolves, then drains. `reload` ticks when the operator asks for files to be read again.
    ///
    /// # Errors
    /// When a background part cannot be set up.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        reload: watch::Receiver<u64>,
    ) -> Result<server::Drained, AppError> {
        let (stop, stopped) = watch::channel(false);
        let mut background = JoinSet::new();
        self.start_background(&mut background, &stopped, reload)?;
        let serving = Serving {
            limits: self.config.limits.clone(),
            metrics: self.metrics.clone(),
            request_ids: Arc::new(RequestIds::new()),
            log_requests: self.config.log.requests,
        };
        let operations = operations::router(self.metrics.clone(), self.probe());
        let mut router = self.router;
        match self.operations_listener {
            Some(listener) => {
                let quiet = Serving { log_requests: false, ..serving.clone() };
                background.spawn(async move {
                    server::run(listener, operations, quiet, raised(stopped)).await;
                });
            }
            None => router = router.merge(operations),
        }
        let drained = server::run(self.listener, router, serving, shutdown).await;
        stop.send_replace(true);
        background.shutdown().await;
        Ok(drained)
    }

    fn start_background(
        &self,
        background: &mut JoinSet<()>,
        stopped: &watch::Receiver<bool>,
        reload: watch::Receiver<u64>,
    ) -> Result<(), AppError> {
        if let Some(certificates) = &self.certificates {
            background.spawn(certificates.clone().watch(self.config.tls_reload_interval));
        }
        if let Some(advisories) = self.config.advisories.clone().filter(|config| !config.sources.is_empty()) {
            let shutdown = raised(stopped.clone());
            spawn_updates(advisories, self.advisories.clone(), self.clock.clone(), shutdown)?;
        }
        let ages = Ages {
            advisories: self.advisories.clone(),
            policy: self.policy.clone(),
            rules: self.rules.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        };
        background.spawn(ages.keep());
        let hurry = Arc::new(Notify::new());
        let refresher = Refresher {
            config: self.config.trust.clone(),
            policy: self.policy.clone(),
            clock: self.clock.clone(),
            hurry: hurry.clone(),
        };
        let registry = self.registry.clone();
        let client = trust::fetch::client()?;
        background.spawn(async move {
            // What a new root lets through is asked for at once; what it takes away, when it is asked for.
            refresher.run(client, || registry.judge().sweep()).await;
        });
        let reloader = Reloader {
            advisories: self.advisories.clone(),
            certificates: self.certificates.clone(),
            policy: self.policy.clone(),
            config: self.config.clone(),
            registry: self.registry.clone(),
            rules: self.rules.clone(),
            hurry,
        };
        background.spawn(reloader.run(reload));
        let mut registry = self.registry.start_background(&self.advisories, gc(&self.config.gc));
        background.spawn(async move { while registry.join_next().await.is_some() {} });
        Ok(())
    }

    fn probe(&self) -> Probe {
        let data_dir = self.config.data_dir.clone();
        let (advisories, wanted) = (self.advisories.clone(), self.config.advisories.is_some());
        let policy = self.policy.clone();
        Arc::new(move || {
            let store = write_probe(&data_dir).err().map(|error| format!("not writable: {error}"));
            let missing = wanted && advisories.current().is_none();
            let no_policy = policy.load().digest().is_empty();
            vec![
                Check { name: "store", problem: store },
                Check { name: "policy", problem: no_policy.then(|| "not loaded".to_owned()) },
                Check {
                    name: "advisories",
                    problem: missing.then(|| "configured, not there yet".to_owned()),
                },
            ]
        })
    }
}

/// What a request meets, outermost first: who calls, then the door. The id, the limits, the net under panics and the
/// log line lie around all of it, in `server/request.rs`. The token endpoint looks at credentials itself, because a form
/// may carry them. The admission door answers whoever may pull the image, which by default is everybody.
fn router(access: &Arc<Access>, registry: &Arc<Registry>, names: &[String]) -> Router {
    let identify = middleware::from_fn_with_state(access.clone(), access::door::identify);
    registry::router(registry.clone())
        .merge(admission::door::router(registry.clone(), names))
        .layer(identify)
        .merge(access::door::router(access.clone()))
}

/// How engines may write our name in an image reference.
fn names(config: &Config, listener: &Listener) -> Vec<String> {
    let address = listener.address().unwrap_or(config.listen);
    let mut names = vec![config.name.clone(), address.to_string()];
    if address.ip().is_loopback() {
        names.push(format!("localhost:{}", address.port()));
    }
    let public = config.public_url.as_deref().and_then(|url| url.split_once("://"));
    names.extend(public.map(|(_, host)| host.to_owned()));
    names
}

fn open_access(config: &Config, clock: &Clock) -> Result<Access, AppError> {
    let token_key = TokenKey::load_or_create(&config.data_dir.join(TOKEN_KEY_FILE))?;
    let access = AccessConfig {
        accounts: config.accounts.clone(),
        anonymous: config.anonymous.clone(),
        service: config.name.clone(),
        public_url: config.public_url.clone(),
        tls: config.tls.is_some(),
        token_lifetime_seconds: i64::try_from(config.token_lifetime.as_secs()).unwrap_or(i64::MAX),
        hashing_slots: config.hashing_threads,
    };
    Ok(Access::new(access, token_key, clock.clone())?)
}

/// A policy that this gateway can do all of, with the roots that are kept for it.
fn read_policy(config: &Config) -> Result<Policy, AppError> {
    let policy = policy_file::read(&config.policy_file)?;
    match policy.needs_key().filter(|_| config.receipts.is_none()) {
        Some(rule) => Err(AppError::NoKey { rule: rule.name.clone() }),
        None => Ok(trust::put_in(&policy, &config.trust.dir)),
    }
}

/// The gate's own key. A gateway that is told to give receipts and cannot does not start.
fn receipts(config: &Config) -> Result<Option<ReceiptConfig>, AppError> {
    let Some(receipts) = &config.receipts else { return Ok(None) };
    let failed = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| AppError::ReceiptKey {
        path: path.to_owned(),
        source,
    };
    let read = |path: &Path| {
        let mut text = String::new();
        let file = File::open(path).map(|file| file.take(KEY_FILE_BYTES_MAX as u64));
        file.and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| failed(path, error.into()))?;
        Ok::<_, AppError>(Zeroizing::new(text))
    };
    let password = read(&receipts.key_password_file)?;
    let password = Password::new(password.lines().next().unwrap_or_default().as_bytes().to_vec());
    let key = keyring::decrypt(&read(&receipts.key)?, &password);
    let key = key.map_err(|error| failed(&receipts.key, error.into()))?;
    let verifier = config.public_url.clone().unwrap_or_else(|| format!("https://{}", config.name));
    let valid_seconds = i64::try_from(receipts.valid_for.as_secs()).unwrap_or(i64::MAX);
    let signer = Arc::new(Signer::new(key));
    Ok(Some(ReceiptConfig { signer, verifier, valid_seconds }))
}

/// Makes the data folder, readable by its owner only, and locks it: two gateways on one database would each believe to
/// be its only writer.
fn claim(data_dir: &Path) -> Result<File, AppError> {
    let failed = |source| AppError::DataDir { path: data_dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let lock = options.open(data_dir.join(LOCK_FILE)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(AppError::Locked { path: data_dir.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn write_probe(data_dir: &Path) -> io::Result<()> {
    let probe = tempfile::NamedTempFile::new_in(data_dir)?;
    io::Write::write_all(&mut probe.as_file(), b"ok")?;
    probe.close()
}

async fn raised(mut flag: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the same news.
    let _ = flag.wait_for(|raised| *raised).await;
}

/// Ages that are shown in the metrics.
struct Ages {
    advisories: Arc<AdvisoryStore>,
    policy: Arc<ArcSwap<Policy>>,
    rules: Arc<RuleStore>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Ages {
    async fn keep(self) {
        loop {
            let now = self.clock.now();
            self.metrics.advisory_age_seconds.set(self.advisories.age_seconds(now).unwrap_or(-1));
            let rules = self.rules.current().map_or(0, |rules| rules.len());
            self.metrics.yara_rules.set(i64::try_from(rules).unwrap_or(i64::MAX));
            trust::measure(&self.policy.load(), &self.metrics, now);
            tokio::time::sleep(AGE_INTERVAL).await;
        }
    }
}

fn gc(config: &config::GcConfig) -> GcConfig {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    GcConfig {
        staged_seconds: seconds(config.staged_for),
        unreferenced_seconds: seconds(config.unreferenced_for),
        upload_seconds: seconds(config.unreferenced_for),
        every: config.interval,
    }
}

/// Reads files again when asked to. What cannot be used is refused, and what is in force stays.
struct Reloader {
    advisories: Arc<AdvisoryStore>,
    certificates: Option<Arc<CertificateStore>>,
    policy: Arc<ArcSwap<Policy>>,
    config: Config,
    registry: Arc<Registry>,
    rules: Arc<RuleStore>,
    hurry: Arc<Notify>,
}

impl Reloader {
    async fn run(self, mut asked: watch::Receiver<u64>) {
        let reloader = Arc::new(self);
        while asked.changed().await.is_ok() {
            let reading = reloader.clone();
            if tokio::task::spawn_blocking(move || reading.read()).await.is_err() {
                tracing::error!("reading the files again failed");
            }
            reloader.hurry.notify_one();
            reloader.registry.judge().sweep().await;
        }
        std::future::pending().await
    }

    fn read(&self) {
        match read_policy(&self.config) {
            Ok(policy) => {
                tracing::info!(policy.digest = policy.digest(), "took up the policy");
                self.policy.store(Arc::new(policy));
            }
            Err(error) => {
                tracing::error!(error = %error, "the new policy is not usable, the old one stays in force")
            }
        }
        if let Err(error) = self.advisories.reload() {
            tracing::error!(error = %error, "the new advisories are not usable, those in use stay");
        }
        if let Err(error) = self.rules.reload() {
            // With its causes, which name file and line.
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error, "the new YARA rules are not usable, those in force stay");
        }
        if let Some(Err(error)) = self.certificates.as_ref().map(|certificates| certificates.reload()) {
            tracing::error!(error = %error, "the new certificate is not usable, the old one stays in use");
        }
    }
}

#[cfg(test)]
mod tests;
