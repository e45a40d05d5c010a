//! A sigstore instance for tests, made in code: authority, certificate log and two transparency logs, so that each check
//! can be failed on purpose and alone.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::certificate::CODE_SIGNING;
use super::*;
use crate::cosign::BUNDLE_MEDIA_TYPES;
use crate::cosign::bundle::pre_authentication_encoding;
use crate::der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, encode};
use crate::keyring::{self, NewKey};
use crate::signer::Signer;
use crate::testing::{DIGEST, statement};

/// When everything is signed: before the clock of whoever runs the tests, which the foundation reads.
pub(crate) const SIGNED_AT: i64 = 1_795_000_000;
/// When it is verified.
pub(crate) const NOW: i64 = SIGNED_AT + 3_600;
pub(crate) const DAY: i64 = 86_400;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const SUBJECT: &str = "dev@acme.example";

const OCTET_STRING: u8 = 4;
const UTF8_STRING: u8 = 0x0c;
const SET: u8 = 0x31;
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// The instance's keys, made once.
pub(crate) struct Keys {
    pub(crate) root: Signer,
    pub(crate) intermediate: Signer,
    pub(crate) leaf: Signer,
    pub(crate) ct: Signer,
    pub(crate) log: Signer,
    pub(crate) other_log: Signer,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let new = || Signer::new(keyring::generate(NewKey::EcdsaP256).unwrap());
    KEYS.get_or_init(|| Keys {
        root: new(),
        intermediate: new(),
        leaf: new(),
        ct: new(),
        log: new(),
        other_log: new(),
    })
}

/// What is made, and how it differs from a good bundle. The default is good.
pub(crate) struct Plan {
    /// Names in the certificate: tag and content.
    pub(crate) names: Vec<(u8, Vec<u8>)>,
    pub(crate) issuer_v1: Option<&'static str>,
    pub(crate) issuer_v2: Option<&'static str>,
    pub(crate) usage: &'static [u8],
    /// First byte of the key usage: 0x80 is for signatures.
    pub(crate) key_usage: u8,
    pub(crate) certified_by: fn(&Keys) -> &Signer,
    /// Which log's certificate timestamp, if any.
    pub(crate) sct_by: Option<fn(&Keys) -> &Signer>,
    pub(crate) note_by: fn(&Keys) -> &Signer,
    pub(crate) promise_by: fn(&Keys) -> &Signer,
    pub(crate) signed_by: fn(&Keys) -> &Signer,
    pub(crate) integrated_at: i64,
    pub(crate) leaf_period: (i64, i64),
    pub(crate) intermediate_period: (i64, i64),
    pub(crate) root_period: (i64, i64),
    /// `validFor` in the trusted root.
    pub(crate) authority_listed: (i64, Option<i64>),
    pub(crate) log_listed: (i64, Option<i64>),
    pub(crate) ct_listed: (i64, Option<i64>),
    pub(crate) statement: String,
    /// Changes the log entry's body before the log signs it.
    pub(crate) body: fn(&mut Value),
    /// Changes the finished bundle.
    pub(crate) bundle: fn(&mut Value),
    /// Changes the finished trusted root.
    pub(crate) root: fn(&mut Value),
}

impl Default for Plan {
    fn default() -> Self {
        let years = (SIGNED_AT - 500 * DAY, SIGNED_AT + 500 * DAY);
        Self {
            names: vec![(0x81, SUBJECT.as_bytes().to_vec())],
            issuer_v1: Some(ISSUER),
            issuer_v2: Some(ISSUER),
            usage: CODE_SIGNING,
            key_usage: 0x80,
            certified_by: |keys| &keys.intermediate,
            sct_by: Some(|keys| &keys.ct),
            note_by: |keys| &keys.log,
            promise_by: |keys| &keys.log,
            signed_by: |keys| &keys.leaf,
            integrated_at: SIGNED_AT,
            leaf_period: (SIGNED_AT - 10, SIGNED_AT + 600),
            intermediate_period: years,
            root_period: years,
            authority_listed: (years.0, None),
            log_listed: (years.0, None),
            ct_listed: (years.0, None),
            statement: statement().to_string(),
            body: |_| {},
            bundle: |_| {},
            root: |_| {},
        }
    }
}

impl Plan {
    pub(crate) fn trust(&self) -> Result<CertificateTrust, SigstoreError> {
        let root = Arc::new(TrustRoot::parse(self.trusted_root().to_string().as_bytes())?);
        let anchors = Anchors::Root { root, log_entries: 1, certificate_log: true };
        let exact = |text: &str| Pattern::exact(text).unwrap();
        let identity = CertificateIdentity::new(exact(ISSUER), exact(SUBJECT), []).unwrap();
        Ok(CertificateTrust { identity, anchors })
    }

    pub(crate) fn verdict(&self) -> Result<VerifiedBundle, SigstoreError> {
        let bundle = self.bundle().to_string();
        verify_bundle(bundle.as_bytes(), Artifact::Digest(DIGEST), &self.trust()?, NOW)
    }

    pub(crate) fn bundle(&self) -> Value {
        let keys = keys();
        let leaf = self.leaf();
        let payload = self.statement.as_bytes();
        let message = pre_authentication_encoding("application/vnd.in-toto+json", payload);
        let signature = (self.signed_by)(keys).sign(&message).unwrap();
        let mut bundle = json!({
            "mediaType": BUNDLE_MEDIA_TYPES[3],
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(&leaf) },
                "tlogEntries": [self.entry(&leaf, &signature)],
            },
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{ "sig": STANDARD.encode(&signature) }],
            },
        });
        (self.bundle)(&mut bundle);
        bundle
    }

    pub(crate) fn entry(&self, leaf: &[u8], signature: &[u8]) -> Value {
        let keys = keys();
        let pem = pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, leaf).unwrap();
        let mut body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": hex(b"") },
                "payloadHash": { "algorithm": "sha256", "value": hex(self.statement.as_bytes()) },
                "signatures": [{ "signature": STANDARD.encode(signature), "verifier": STANDARD.encode(pem) }],
            },
        });
        (self.body)(&mut body);
        let body = body.to_string();
        let (log, index) = (&keys.log, 5);
        let promised = json!({
            "body": STANDARD.encode(&body),
            "integratedTime": self.integrated_at,
            "logID": hex(log.public_key().spki_der()),
            "logIndex": index,
        });
        let promise = (self.promise_by)(keys).sign(promised.to_string().as_bytes()).unwrap();
        let root = STANDARD.encode(Sha256::digest([&[0], body.as_bytes()].concat()));
        let note = format!("log.example - 1\n1\n{root}\n");
        let note_by = (self.note_by)(keys);
        let hint = id(note_by);
        let line = [&hint[..4], &note_by.sign(note.as_bytes()).unwrap()].concat();
        json!({
            "logIndex": index.to_string(),
            "logId": { "keyId": STANDARD.encode(id(log)) },
            "kindVersion": { "kind": "dsse", "version": "0.0.1" },
            "integratedTime": self.integrated_at.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(promise) },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": root,
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {
                    "envelope": format!("{note}\n\u{2014} log.example {}\n", STANDARD.encode(line)),
                },
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }

    pub(crate) fn trusted_root(&self) -> Value {
        let keys = keys();
        let log = |url: &str, signer: &Signer, listed| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(signer.public_key().spki_der()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": period(listed),
                },
                "logId": { "keyId": STANDARD.encode(id(signer)) },
            })
        };
        let ca = |name: &str, issuer: &str, days, signer: &Signer, by: &Signer| {
            let basic = extension(&[0x55, 0x1d, 0x13], true, &encode(SEQUENCE, &encode(1, &[0xff])));
            let usage = extension(&[0x55, 0x1d, 0x0f], true, &encode(BIT_STRING, &[1, 0x06]));
            let extensions = [basic, usage].concat();
            json!({ "rawBytes": STANDARD.encode(certificate(&cn(issuer), days, &cn(name), signer, &extensions, by)) })
        };
        let intermediate =
            ca("intermediate", "root", self.intermediate_period, &keys.intermediate, &keys.root);
        let root = ca("root", "root", self.root_period, &keys.root, &keys.root);
        let mut trusted = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                log("https://log.example", &keys.log, self.log_listed),
                log("https://other.example", &keys.other_log, self.log_listed),
            ],
            "certificateAuthorities": [{
                "subject": { "organization": "test", "commonName": "test" },
                "uri": "https://ca.example",
                "certChain": { "certificates": [intermediate, root] },
                "validFor": period(self.authority_listed),
            }],
            "ctlogs": [log("https://ct.example", &keys.ct, self.ct_listed)],
            "timestampAuthorities": [],
        });
        (self.root)(&mut trusted);
        trusted
    }

    /// The signing certificate.
    pub(crate) fn leaf(&self) -> Vec<u8> {
        let keys = keys();
        let mut extensions = vec![
            extension(&[0x55, 0x1d, 0x0f], true, &encode(BIT_STRING, &[7, self.key_usage])),
            extension(&[0x55, 0x1d, 0x25], false, &encode(SEQUENCE, &encode(OBJECT_IDENTIFIER, self.usage))),
        ];
        let names: Vec<u8> = self.names.iter().flat_map(|(tag, content)| encode(*tag, content)).collect();
        extensions.push(extension(&[0x55, 0x1d, 0x11], true, &encode(SEQUENCE, &names)));
        let fulcio =
            |number: u8| [&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01], &[number][..]].concat();
        if let Some(issuer) = self.issuer_v1 {
            extensions.push(extension(&fulcio(1), false, issuer.as_bytes()));
        }
        if let Some(issuer) = self.issuer_v2 {
            extensions.push(extension(&fulcio(8), false, &encode(UTF8_STRING, issuer.as_bytes())));
        }
        let by = (self.certified_by)(keys);
        let issuer = cn("intermediate");
        if let Some(log) = self.sct_by {
            let body =
                tbs(&issuer, self.leaf_period, &encode(SEQUENCE, &[]), &keys.leaf, &extensions.concat());
            let oid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];
            extensions.push(extension(&oid, false, &encode(OCTET_STRING, &sct(&body, log(keys)))));
        }
        certificate(&issuer, self.leaf_period, &encode(SEQUENCE, &[]), &keys.leaf, &extensions.concat(), by)
    }
}

/// A list with one signed certificate timestamp (RFC 6962 § 3.2, § 3.3).
fn sct(body: &[u8], log: &Signer) -> Vec<u8> {
    let time = u64::try_from(SIGNED_AT).unwrap() * 1000;
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut message = vec![0, 0];
    message.extend(time.to_be_bytes());
    message.extend([0, 1]);
    message.extend(id(&keys().intermediate));
    message.extend(&length[1..]);
    message.extend(body);
    message.extend([0, 0]);
    let signature = log.sign(&message).unwrap();
    let short = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let mut one = vec![0];
    one.extend(id(log));
    one.extend(time.to_be_bytes());
    one.extend([0, 0, 4, 3]);
    one.extend(short(signature.len()));
    one.extend(signature);
    [&short(one.len() + 2)[..], &short(one.len()), &one].concat()
}

fn hex(bytes: &[u8]) -> String {
    crate::digest::sha256_hex(bytes)
}

pub(crate) fn id(signer: &Signer) -> Vec<u8> {
    Sha256::digest(signer.public_key().spki_der()).to_vec()
}

fn period((start, end): (i64, Option<i64>)) -> Value {
    let text = |seconds: i64| crate::moment::rfc3339(seconds);
    match end {
        Some(end) => json!({ "start": text(start), "end": text(end) }),
        None => json!({ "start": text(start) }),
    }
}

fn cn(name: &str) -> Vec<u8> {
    let pair =
        [encode(OBJECT_IDENTIFIER, &[0x55, 0x04, 0x03]), encode(UTF8_STRING, name.as_bytes())].concat();
    encode(SEQUENCE, &encode(SET, &encode(SEQUENCE, &pair)))
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { encode(1, &[0xff]) } else { Vec::new() };
    encode(SEQUENCE, &[encode(OBJECT_IDENTIFIER, oid), critical, encode(OCTET_STRING, value)].concat())
}

fn utc_time(seconds: i64) -> Vec<u8> {
    let time = Timestamp::from_second(seconds).unwrap().strftime("%y%m%d%H%M%SZ").to_string();
    encode(0x17, time.as_bytes())
}

fn tbs(issuer: &[u8], period: (i64, i64), subject: &[u8], key: &Signer, extensions: &[u8]) -> Vec<u8> {
    let algorithm = encode(SEQUENCE, &encode(OBJECT_IDENTIFIER, ECDSA_WITH_SHA256));
    let validity = encode(SEQUENCE, &[utc_time(period.0), utc_time(period.1)].concat());
    let spki = key.public_key().spki_der();
    let parts = [
        encode(0xa0, &encode(INTEGER, &[2])),
        encode(INTEGER, &[7]),
        algorithm,
        issuer.to_vec(),
        validity,
        subject.to_vec(),
        spki.to_vec(),
        encode(0xa3, &encode(SEQUENCE, extensions)),
    ];
    encode(SEQUENCE, &parts.concat())
}

fn certificate(
    issuer: &[u8],
    period: (i64, i64),
    subject: &[u8],
    key: &Signer,
    extensions: &[u8],
    by: &Signer,
) -> Vec<u8> {
    let body = tbs(issuer, period, subject, key, extensions);
    let signature = by.sign(&body).unwrap();
    let algorithm = encode(SEQUENCE, &encode(OBJECT_IDENTIFIER, ECDSA_WITH_SHA256));
    let bits = encode(BIT_STRING, &[&[0], signature.as_slice()].concat());
    encode(SEQUENCE, &[body, algorithm, bits].concat())
}
