//! Makes repositories of Notary v1, good and bad, with keys and certificates of its own: what notary's client cannot be
//! brought to make.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// By file name: `root.json`, `targets/releases.json`.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

const P256: &[u8] =
    &[0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const CODE_SIGNING: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3];

/// The half that signs.
pub(super) enum Pair {
    Ecdsa {
        pkcs8: Vec<u8>,
    },
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    /// Signs nothing: a public key that must not be accepted whatever it signed.
    None,
}

/// One key of a role as files write it.
pub(super) struct Key {
    pub(super) pair: Pair,
    pub(super) key_type: &'static str,
    pub(super) method: &'static str,
    /// What stands in the file as `public`, decoded.
    pub(super) public: Vec<u8>,
}

/// A certificate to be.
pub(super) struct Certificate<'a> {
    pub(super) common_name: &'a str,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) is_authority: bool,
}

/// Who signs a role, and how.
pub(super) struct Role {
    pub(super) keys: Vec<Key>,
    pub(super) threshold: u64,
    pub(super) version: u64,
    pub(super) expires: i64,
    /// Indexes into `keys`; `None`: all.
    pub(super) signers: Option<Vec<usize>>,
}

/// A role below `targets`, or `targets` itself.
pub(super) struct Targets {
    /// `targets/releases`.
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) paths: Vec<String>,
    /// Tag, and digest (`sha256:…`) with length.
    pub(super) tags: BTreeMap<String, (String, u64)>,
    pub(super) delegations: Vec<Targets>,
}

/// A whole repository.
pub(super) struct Repository {
    pub(super) root: Role,
    pub(super) timestamp: Role,
    pub(super) snapshot: Role,
    pub(super) targets: Targets,
    /// Root files made before, by version: one is signed once.
    pub(super) roots: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl Key {
    pub(super) fn ecdsa() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::ecdsa_of(pkcs8.as_ref())
    }

    fn ecdsa_of(pkcs8: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
        let public = spki(pair.public_key().as_ref());
        Self { pair: Pair::Ecdsa { pkcs8: pkcs8.to_vec() }, key_type: "ecdsa", method: "ecdsa", public }
    }

    pub(super) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = pair.public_key().as_ref().to_vec();
        Self { pair: Pair::Ed25519(pair), key_type: "ed25519", method: "eddsa", public }
    }

    pub(super) fn rsa(method: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let public = public.as_ref().to_vec();
        Self { pair: Pair::Rsa(pair), key_type: "rsa", method, public }
    }

    /// A public key of 1024 bits.
    pub(super) fn short_rsa() -> Self {
        let modulus = [&[0, 0xc1][..], &[0x55; 126], &[0x01]].concat();
        let key = element(0x30, &[element(2, &modulus), element(2, &[1, 0, 1])].concat());
        let rsa =
            element(0x30, &[&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1][..], &[5, 0]].concat());
        let public = element(0x30, &[rsa, element(3, &[&[0][..], &key].concat())].concat());
        Self { pair: Pair::None, key_type: "rsa", method: "rsapss", public }
    }

    /// The same key in a self-signed certificate, as notary's root keys are.
    pub(super) fn certified(&self, certificate: &Certificate<'_>) -> Self {
        self.issued(certificate, self, certificate.common_name)
    }

    /// The same key in a certificate that `issuer` signs.
    pub(super) fn issued(&self, certificate: &Certificate<'_>, issuer: &Self, issuer_name: &str) -> Self {
        let Pair::Ecdsa { pkcs8 } = &self.pair else { panic!("certificates are for ECDSA keys here") };
        let public = pem(&x509(certificate, self.spki(), issuer, issuer_name)).into_bytes();
        Self { key_type: "ecdsa-x509", public, ..Self::ecdsa_of(pkcs8) }
    }

    /// With more certificates after its own, PEM.
    pub(super) fn with_chain(mut self, pem: &[u8]) -> Self {
        self.public.extend_from_slice(pem);
        self
    }

    fn spki(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ecdsa { pkcs8 } => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
                spki(pair.public_key().as_ref())
            }
            _ => self.public.clone(),
        }
    }

    fn form(&self) -> Value {
        json!({"keytype": self.key_type, "keyval": {"private": null, "public": STANDARD.encode(&self.public)}})
    }

    /// As notary calls it.
    pub(super) fn id(&self) -> String {
        hex(&sha256(&canonical(&self.form())))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa { pkcs8 } => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                if self.method == "rsapss" {
                    pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
                } else {
                    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                }
                signature
            }
            Pair::None => vec![7; 128],
        }
    }
}

impl Role {
    pub(super) fn new(keys: Vec<Key>, expires: i64) -> Self {
        Self { keys, threshold: 1, version: 1, expires, signers: None }
    }

    fn definition(&self) -> Value {
        json!({"keyids": self.keys.iter().map(Key::id).collect::<Vec<_>>(), "threshold": self.threshold})
    }

    /// A file of this role: its own fields, and those that every role has.
    pub(super) fn file(&self, type_: &str, fields: Value) -> Vec<u8> {
        let fields = self.fields(type_, fields);
        let all = (0..self.keys.len()).collect();
        let signers = self.signers.as_ref().unwrap_or(&all).iter().map(|&index| &self.keys[index]);
        envelope(&fields, signers)
    }
}

impl Role {
    fn fields(&self, type_: &str, mut fields: Value) -> Value {
        fields["_type"] = type_.into();
        fields["version"] = self.version.into();
        fields["expires"] = rfc3339(self.expires).into();
        fields
    }
}

/// Signed by these keys.
pub(super) fn envelope<'a>(signed: &Value, signers: impl Iterator<Item = &'a Key>) -> Vec<u8> {
    let message = canonical(signed);
    let signature = |key: &Key| json!({"keyid": key.id(), "method": key.method, "sig": STANDARD.encode(key.sign(&message))});
    let signatures: Vec<Value> = signers.map(signature).collect();
    canonical(&json!({"signatures": signatures, "signed": signed}))
}

impl Targets {
    pub(super) fn new(name: &str, expires: i64) -> Self {
        Self {
            name: name.to_owned(),
            role: Role::new(vec![Key::ecdsa()], expires),
            paths: vec![String::new()],
            tags: BTreeMap::new(),
            delegations: Vec::new(),
        }
    }

    pub(super) fn tag(mut self, tag: &str, digest: &str) -> Self {
        self.tags.insert(tag.to_owned(), (digest.to_owned(), 528));
        self
    }

    fn files(&self, all: &mut Files) {
        let target = |(tag, (digest, length)): (&String, &(String, u64))| {
            let bytes = unhex(digest.strip_prefix("sha256:").unwrap());
            (tag.clone(), json!({"hashes": {"sha256": STANDARD.encode(bytes)}, "length": length}))
        };
        let tags: Map<String, Value> = self.tags.iter().map(target).collect();
        let keys = self.delegations.iter().flat_map(|child| &child.role.keys);
        let keys: Map<String, Value> = keys.map(|key| (key.id(), key.form())).collect();
        let roles: Vec<Value> = self
            .delegations
            .iter()
            .map(|child| {
                let mut role = child.role.definition();
                role["name"] = child.name.clone().into();
                role["paths"] = child.paths.clone().into();
                role
            })
            .collect();
        let fields = json!({"targets": tags, "delegations": {"keys": keys, "roles": roles}});
        all.insert(format!("{}.json", self.name), self.role.file("Targets", fields));
        self.delegations.iter().for_each(|child| child.files(all));
    }
}

impl Repository {
    /// A good one, valid from a day before `now` for a year, without tags. Root key and certificate are new.
    pub(super) fn new(gun: &str, now: i64) -> Self {
        let (not_before, not_after) = (now - 86_400, now + 365 * 86_400);
        let certificate = Certificate { common_name: gun, not_before, not_after, is_authority: false };
        Self::with_root_key(Key::ecdsa().certified(&certificate), not_after)
    }

    pub(super) fn with_root_key(root: Key, expires: i64) -> Self {
        let role = || Role::new(vec![Key::ecdsa()], expires);
        let targets = Targets::new("targets", expires);
        Self {
            root: Role::new(vec![root], expires),
            timestamp: role(),
            snapshot: role(),
            targets,
            roots: RefCell::default(),
        }
    }

    /// What an operator pins.
    pub(super) fn pin(&self) -> Vec<String> {
        self.root.keys.iter().map(Key::id).collect()
    }

    /// The next state of it: all but the root one version higher.
    pub(super) fn advance(&mut self) {
        for role in [&mut self.timestamp, &mut self.snapshot, &mut self.targets.role] {
            role.version += 1;
        }
    }

    pub(super) fn root_file(&self) -> Vec<u8> {
        let mut roots = self.roots.borrow_mut();
        roots.entry(self.root.version).or_insert_with(|| self.new_root_file()).clone()
    }

    fn new_root_file(&self) -> Vec<u8> {
        let all: Vec<usize> = (0..self.root.keys.len()).collect();
        let signers = self.root.signers.as_ref().unwrap_or(&all).iter().map(|&index| &self.root.keys[index]);
        envelope(&self.unsigned_root(), signers)
    }

    /// What a root file signs.
    pub(super) fn unsigned_root(&self) -> Value {
        let roles = [
            ("root", &self.root),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets.role),
            ("timestamp", &self.timestamp),
        ];
        let keys = roles.iter().flat_map(|(_, role)| &role.keys);
        let keys: Map<String, Value> = keys.map(|key| (key.id(), key.form())).collect();
        let roles: Map<String, Value> =
            roles.iter().map(|(name, role)| ((*name).to_owned(), role.definition())).collect();
        self.root.fields("Root", json!({"keys": keys, "roles": roles, "consistent_snapshot": false}))
    }

    /// All its files.
    pub(super) fn files(&self) -> Files {
        let mut files = Files::new();
        files.insert("root.json".to_owned(), self.root_file());
        self.targets.files(&mut files);
        self.list(files)
    }

    /// The same files with snapshot and timestamp about them, as they are.
    pub(super) fn list(&self, mut files: Files) -> Files {
        let meta = |files: &Files, names: &mut dyn Iterator<Item = String>| {
            let entry = |name: String| {
                let bytes = &files[&format!("{name}.json")];
                (name, json!({"hashes": {"sha256": STANDARD.encode(sha256(bytes))}, "length": bytes.len()}))
            };
            names.map(entry).collect::<Map<String, Value>>()
        };
        let names: Vec<String> =
            files.keys().filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        let listed = |name: &String| name.starts_with("targets") || name == "root";
        let snapshot = meta(&files, &mut names.into_iter().filter(listed));
        files.insert("snapshot.json".to_owned(), self.snapshot.file("Snapshot", json!({"meta": snapshot})));
        let timestamp = meta(&files, &mut ["snapshot".to_owned()].into_iter());
        files.insert(
            "timestamp.json".to_owned(),
            self.timestamp.file("Timestamp", json!({"meta": timestamp})),
        );
        files
    }
}

/// A certificate in PEM.
pub(super) fn authority(key: &Key, certificate: &Certificate<'_>) -> Vec<u8> {
    pem(&x509(certificate, key.spki(), key, certificate.common_name)).into_bytes()
}

fn x509(certificate: &Certificate<'_>, spki: Vec<u8>, issuer: &Key, issuer_name: &str) -> Vec<u8> {
    let name = |text: &str| {
        let attribute = element(0x30, &[&[6, 3, 0x55, 4, 3][..], &element(0x0c, text.as_bytes())].concat());
        element(0x30, &element(0x31, &attribute))
    };
    let time = |seconds: i64| element(0x17, utc_time(seconds).as_bytes());
    let extension = |oid: &[u8], value: &[u8]| {
        element(0x30, &[element(6, oid), element(1, &[0xff]), element(4, value)].concat())
    };
    let mut extensions = extension(&[0x55, 0x1d, 0x25], &element(0x30, CODE_SIGNING));
    if certificate.is_authority {
        extensions = extension(&[0x55, 0x1d, 0x13], &element(0x30, &element(1, &[0xff])));
    }
    let body = element(
        0x30,
        &[
            element(0xa0, &[2, 1, 2]),
            element(2, &[1]),
            ECDSA_SHA256.to_vec(),
            name(issuer_name),
            element(0x30, &[time(certificate.not_before), time(certificate.not_after)].concat()),
            name(certificate.common_name),
            spki,
            element(0xa3, &element(0x30, &extensions)),
        ]
        .concat(),
    );
    let Pair::Ecdsa { pkcs8 } = &issuer.pair else { panic!("issuers have ECDSA keys here") };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).unwrap();
    let signature = pair.sign(&SystemRandom::new(), &body).unwrap();
    let bits = element(3, &[&[0][..], signature.as_ref()].concat());
    element(0x30, &[body, ECDSA_SHA256.to_vec(), bits].concat())
}

fn spki(point: &[u8]) -> Vec<u8> {
    element(0x30, &[P256.to_vec(), element(3, &[&[0][..], point].concat())].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, u8::try_from(length).unwrap()],
        0x80..=0xff => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Keys sorted, no whitespace; texts here need no escapes.
pub(super) fn canonical(value: &Value) -> Vec<u8> {
    let text = match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let field = |(name, value): (&String, &Value)| {
                format!("\"{name}\":{}", String::from_utf8(canonical(value)).unwrap())
            };
            format!("{{{}}}", sorted.into_iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| String::from_utf8(canonical(item)).unwrap());
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    text.into_bytes()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Year, month, day, hour, minute, second in UTC.
fn civil(seconds: i64) -> [i64; 6] {
    let (mut days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    [year, month, days + 1, rest / 3600, rest / 60 % 60, rest % 60]
}

pub(super) fn rfc3339(seconds: i64) -> String {
    let [year, month, day, hour, minute, second] = civil(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn utc_time(seconds: i64) -> String {
    let [year, month, day, hour, minute, second] = civil(seconds);
    format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z", year % 100)
}
