//! The table of all keys: parsing, defaults, documentation and the environment's names come from here.

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Choice(&'static [&'static str]),
    Count,
    Duration,
    Flag,
    List,
    Path,
    Size,
    Text,
    Url,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As text; lists with commas. `None`: unset.
    pub(super) default: Option<&'static str>,
    pub(super) meaning: &'static str,
}

impl Kind {
    /// What would be right, for messages and the reference.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Address => "an address and a port such as `127.0.0.1:5000`",
            Self::Choice(_) => "one of the words in the reference",
            Self::Count => "a whole number from 1 to 1000000",
            Self::Duration => "a time such as `30s`, `5m` or `7d`",
            Self::Flag => "`true` or `false`",
            Self::List => "a list of patterns such as `[\"prod/**\"]`",
            Self::Path => "a path; a relative one starts at the configuration file's folder",
            Self::Size => "a size such as `500MiB` or `20GiB`",
            Self::Text => "text",
            Self::Url => "a URL such as `https://registry.example`, without a path",
        }
    }
}

impl Key {
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `PORTCULLIS_SERVER_TLS_CERTIFICATE`
    pub(super) fn variable(&self) -> String {
        let path = self.path().replace(['.', '-'], "_");
        format!("{}{}", super::environment::PREFIX, path.to_uppercase())
    }
}

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Key {
    Key { section, name, kind, default, meaning }
}

/// All keys, by section.
pub(super) const KEYS: &[Key] = &[
    key(
        "server",
        "listen",
        Kind::Address,
        Some("127.0.0.1:5000"),
        "Where clients connect. Loopback by default, because plain HTTP must not be reachable by others.",
    ),
    key(
        "server",
        "name",
        Kind::Text,
        None,
        "The registry's name in policies, tokens and admission requests, as engines write it: `registry.example`. Default: the value of `listen`.",
    ),
    key(
        "server",
        "public-url",
        Kind::Url,
        None,
        "How clients reach the gateway, for the address of the token endpoint. Default: the name the client used, which only that client gets to see.",
    ),
    key(
        "server",
        "operations-listen",
        Kind::Address,
        None,
        "A second plain HTTP address for `/metrics`, `/healthz` and `/readyz`, which are then not served at `listen`.",
    ),
    key(
        "server",
        "insecure-plain-http-on-public-address-DANGEROUS",
        Kind::Flag,
        Some("false"),
        "Speak plain HTTP on an address that others can reach. Passwords and images then travel readable and changeable, unless something before the gateway does TLS.",
    ),
    key("server", "connections", Kind::Count, Some("4096"), "Connections at once; the next ones wait."),
    key(
        "server",
        "header-timeout",
        Kind::Duration,
        Some("20s"),
        "Time for a TLS handshake, and for a request's header. Cuts off clients that hold connections with a byte now and then.",
    ),
    key(
        "server",
        "body-timeout",
        Kind::Duration,
        Some("60s"),
        "Silence allowed inside a request's body, and bytes unacknowledged by a client that stopped reading.",
    ),
    key(
        "server",
        "idle-timeout",
        Kind::Duration,
        Some("2m"),
        "How long a connection may stay open without a request.",
    ),
    key(
        "server",
        "drain-timeout",
        Kind::Duration,
        Some("30s"),
        "How long requests in flight may take to end when the gateway stops.",
    ),
    key(
        "server.tls",
        "certificate",
        Kind::Path,
        None,
        "Certificate chain in PEM form, our own first. Replaced files are taken up while serving.",
    ),
    key("server.tls", "key", Kind::Path, None, "Private key in PEM form."),
    key(
        "server.tls",
        "reload-interval",
        Kind::Duration,
        Some("10s"),
        "How often the two files are looked at.",
    ),
    key(
        "storage",
        "data-dir",
        Kind::Path,
        Some("portcullis-data"),
        "Folder for records, blobs, uploads and the token key. One gateway at a time.",
    ),
    key(
        "storage",
        "max-blob-size",
        Kind::Size,
        Some("20GiB"),
        "Largest blob accepted: ten times the largest images in common use.",
    ),
    key(
        "access",
        "anonymous-pull",
        Kind::List,
        Some("**"),
        "Repositories whose released images anybody may pull. An empty list asks everybody to log in.",
    ),
    key(
        "access",
        "allow-anonymous-push-DANGEROUS",
        Kind::List,
        Some(""),
        "Repositories that anybody who reaches the gateway may push to, and see staged images of. For benches on loopback.",
    ),
    key(
        "access",
        "htpasswd",
        Kind::Path,
        None,
        "A file of `name:hash` lines (bcrypt or Argon2id) with passwords for accounts that have none here. Names without an account may do what anonymous callers may.",
    ),
    key(
        "access",
        "token-lifetime",
        Kind::Duration,
        Some("5m"),
        "How long a token of the Docker token flow is good. Rights are checked anew at each use all the same.",
    ),
    key(
        "access",
        "hashing-threads",
        Kind::Count,
        Some("2"),
        "Passwords hashed at the same moment; hashing is slow on purpose, and strangers can ask for it.",
    ),
    key("policy", "file", Kind::Path, Some("policy.toml"), "The policy."),
    key(
        "advisories",
        "file",
        Kind::Path,
        None,
        "Compiled advisories, as `portcullis advisories build` writes them. Without them every image's vulnerabilities are unknown.",
    ),
    key(
        "advisories",
        "interval",
        Kind::Duration,
        Some("6h"),
        "How often `[[advisories.sources]]` (each with `name` and `url`) are asked for news, at least a minute apart.",
    ),
    key(
        "trust",
        "dir",
        Kind::Path,
        None,
        "Folder for the trusted roots that the policy's `[[trust-root]]` sections name. Default: `trust` in the data folder.",
    ),
    key(
        "trust",
        "interval",
        Kind::Duration,
        Some("6h"),
        "How often their repositories are asked for news, at least a minute apart. What was fetched last counts until it ends, also after a restart without a network.",
    ),
    key(
        "receipts",
        "key",
        Kind::Path,
        None,
        "The gate's own private key, as `portcullis keys generate` writes it. With it every released image gets a signed receipt (a SLSA verification summary) as a referrer, for `portcullis verify --receipt`.",
    ),
    key("receipts", "key-password-file", Kind::Path, None, "A file whose first line is the key's password."),
    key(
        "receipts",
        "valid-for",
        Kind::Duration,
        Some("24h"),
        "How long a receipt is good; it is renewed in its second half. Whoever holds one and does not ask the gate hears of a withdrawal this late.",
    ),
    key(
        "scan",
        "threads",
        Kind::Count,
        None,
        "Layers unpacked at the same moment, and as many read: each is unpacked on one thread and read on another. Default: the number of processors.",
    ),
    key(
        "malware",
        "yara",
        Kind::Path,
        None,
        "Folder of YARA rules (`*.yar`, `*.yara`, in folders below it too; links are not followed), which every file of every layer is searched by. A rule that does not compile stops the start, and a reload (SIGHUP) then keeps the rules in force. When they change, what is stored is searched again. See [policy.md](policy.md#yara-rules).",
    ),
    key("gc", "interval", Kind::Duration, Some("10m"), "Pause between two rounds of garbage collection."),
    key(
        "gc",
        "staged-for",
        Kind::Duration,
        Some("7d"),
        "How long an image may stay staged without being released.",
    ),
    key(
        "gc",
        "unreferenced-for",
        Kind::Duration,
        Some("24h"),
        "How long a blob that nothing refers to, or an unfinished upload, is kept for a retry.",
    ),
    key(
        "log",
        "format",
        Kind::Choice(&["json", "text"]),
        Some("json"),
        "How log lines on stderr look: `json` or `text`.",
    ),
    key(
        "log",
        "level",
        Kind::Text,
        Some("info"),
        "Filter: `info`, `debug`, or by part: `warn,portcullis::judge=debug`.",
    ),
    key("log", "requests", Kind::Flag, Some("true"), "One line per request."),
];

/// The key's entry.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}
