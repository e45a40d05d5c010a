//! Bounds on signatures, payloads, bundles and keys, each with the attack it stops.

/// Bytes of a manifest we parse. Larger ones are refused by registries too (distribution-spec, "manifest size").
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// Bytes of a simple-signing payload. Real ones have 250 to 400; oversized attachments were CVE-2024-29902.
pub const SIMPLE_PAYLOAD_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a sigstore bundle that can hold an image signature. Real ones have 700 to 12,000; larger ones are
/// attestations, which no signature rule counts.
pub const BUNDLE_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a signature after base64. RSA-8192, the largest we accept, has 1,024.
pub const SIGNATURE_BYTES_MAX: usize = 2 << 10;

/// Nesting of JSON. Deep nesting exhausts the stack; our formats need eight levels.
pub const JSON_DEPTH_MAX: usize = 32;

/// Layers of one signature manifest that are looked at. A 4 MiB manifest holds no more (CVE-2023-46737).
pub const LAYERS_MAX: usize = 16_384;

/// Candidates that one [`crate::verify::verify`] looks at, in the order given (CVE-2023-46737).
pub const CANDIDATES_MAX: usize = 16_384;

/// Work that one [`crate::verify::verify`] spends on signatures, in units of one ECDSA P-256 verification (about
/// 50 µs): under a second for the worst list of candidates. Beyond, the rest counts as not verified.
pub const VERIFICATION_COST_MAX: u32 = 16_384;

/// Refusals that [`crate::verify::Verification`] lists one by one; the others are counted in a last line.
pub const REJECTIONS_MAX: usize = 100;

/// Bytes of an attestation, bundle or envelope. An SBOM of a large image has a few; oversized attachments were
/// CVE-2024-29903.
pub const ATTESTATION_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a `trusted_root.json`. The public one has 7,000.
pub const TRUST_ROOT_BYTES_MAX: usize = 1 << 20;

/// Log entries of one bundle; each costs two signatures and a proof (CVE-2024-45395).
pub const LOG_ENTRIES_MAX: usize = 8;

/// RFC 3161 timestamps of one bundle (CVE-2024-45395).
pub const TIMESTAMPS_MAX: usize = 8;

/// Certificates that a signature may bring along. Path building over many is exponential (CVE-2026-32280).
pub const CHAIN_CERTIFICATES_MAX: usize = 10;

/// Bytes of one certificate. Fulcio's have 700 to 1,900.
pub const CERTIFICATE_BYTES_MAX: usize = 16 << 10;

/// Extensions of one certificate. Fulcio's have up to 32.
pub const CERTIFICATE_EXTENSIONS_MAX: usize = 64;

/// Bytes of a checkpoint with all its witnesses' lines.
pub const CHECKPOINT_BYTES_MAX: usize = 16 << 10;

/// Hashes of one inclusion proof: the height of a tree with 2^64 leaves.
pub const PROOF_HASHES_MAX: usize = 64;

/// Characters of a pattern for issuers or subjects; longer ones compile slowly.
pub const PATTERN_CHARS_MAX: usize = 1024;

/// Subjects of one statement (sigstore-go has the same bound).
pub const SUBJECTS_MAX: usize = 1024;

/// Entries of a statement's digest set (sigstore-go has the same bound).
pub const SUBJECT_DIGESTS_MAX: usize = 32;

/// Characters of attacker-made text repeated in a reason.
pub const QUOTED_CHARS_MAX: usize = 128;

/// Bytes of a key file, public or private.
pub const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a Notary v1 root or timestamp file (endless data). Real ones have 500 to 10,000; notary's own bound for a
/// timestamp is the same.
pub const NOTARY_ROOT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a Notary v1 snapshot file: [`NOTARY_ROLES_MAX`] entries need 20,000.
pub const NOTARY_SNAPSHOT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a Notary v1 targets or delegation file: [`NOTARY_TARGETS_MAX`] tags need 10 MiB.
pub const NOTARY_TARGETS_BYTES_MAX: usize = 16 << 20;

/// Tags in one Notary v1 targets or delegation file; each is kept in memory.
pub const NOTARY_TARGETS_MAX: usize = 65_536;

/// Keys and signatures in one Notary v1 file, each: a signature costs a verification.
pub const NOTARY_KEYS_MAX: usize = 128;

/// Delegations of one Notary v1 repository, all levels together: each is a download and a verification.
pub const NOTARY_ROLES_MAX: usize = 64;

/// Files of one Notary v1 collection: every rotation and every delegation, and the four roles at the top.
pub const NOTARY_FILES_MAX: usize = 324;

/// Bytes of all files of one Notary v1 collection: they are in memory together while it is verified.
pub const NOTARY_COLLECTION_BYTES_MAX: u64 = 64 << 20;

/// Tags looked at of one image that Notary v1 names: a signer may name one image a thousand times.
pub const NOTARY_TARGETS_TOLD_MAX: usize = 256;

/// Characters of a Notary v1 role name (notary's own bound).
pub const NOTARY_ROLE_CHARS_MAX: usize = 255;

/// Path prefixes of one Notary v1 delegation: each is compared with each tag.
pub const NOTARY_PATHS_MAX: usize = 64;

/// Roots between the trusted and the latest one of a Notary v1 repository: each is a download.
pub const NOTARY_ROTATIONS_MAX: u64 = 256;

/// Certificates in one Notary v1 root key (CVE-2026-32280: path building over a long chain).
pub const NOTARY_CERTIFICATES_MAX: usize = 10;

/// Bytes of a TUF root file. Those of the public instance have 6,000.
pub const TUF_ROOT_BYTES_MAX: usize = 256 << 10;

/// Bytes of a TUF timestamp file (endless data): nothing above it says how long it is. Real ones have 500.
pub const TUF_TIMESTAMP_BYTES_MAX: usize = 64 << 10;

/// Bytes of a TUF snapshot file: [`TUF_FILES_MAX`] entries need 200,000.
pub const TUF_SNAPSHOT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a TUF targets file. That of the public instance has 8,000.
pub const TUF_TARGETS_BYTES_MAX: usize = 4 << 20;

/// Keys and signatures in one TUF file, each: a signature costs a verification.
pub const TUF_KEYS_MAX: usize = 128;

/// Files that one TUF snapshot lists; the version of each is remembered.
pub const TUF_FILES_MAX: usize = 1_024;

/// Roots between the pinned and the last one of a TUF repository: each is a download.
pub const TUF_ROTATIONS_MAX: usize = 128;

/// Certificates of one chain. Each costs a signature verification (CVE-2026-32280 bounds the same).
pub const CHAIN_MAX: usize = 10;

/// Extensions of one certificate, and entries of one list inside an extension.
pub const EXTENSIONS_MAX: usize = 64;

/// Bytes of a Notation envelope, JWS or COSE. Real ones have 2,000 to 20,000; an endless one was CVE-2023-33958.
pub const NOTATION_ENVELOPE_BYTES_MAX: usize = 256 << 10;

/// Items of one CBOR document: a map of a million labels costs memory before anything is verified.
pub const CBOR_ITEMS_MAX: usize = 1_024;

/// Nesting of CBOR. A COSE_Sign1 needs four levels.
pub const CBOR_DEPTH_MAX: usize = 16;

/// Bytes of a trust policy document.
pub const TRUST_POLICY_BYTES_MAX: usize = 1 << 20;

/// Certificates of one file of a trust store.
pub const TRUST_ANCHORS_MAX: usize = 1_024;

/// Bytes of one RFC 3161 timestamp token. Real ones have 3,000 to 8,000.
pub const TIMESTAMP_BYTES_MAX: usize = 64 << 10;

/// Bytes of one certificate revocation list: it is hashed at each verification.
pub const CRL_BYTES_MAX: usize = 2 << 20;

/// Entries of one certificate revocation list; each is kept.
pub const CRL_ENTRIES_MAX: usize = 65_536;

/// Bytes of one OCSP response. Responders answer about one certificate, with a short chain of their own.
pub const OCSP_BYTES_MAX: usize = 64 << 10;

/// Certificates that one OCSP response answers about.
pub const OCSP_ANSWERS_MAX: usize = 64;

/// Certificate revocation lists that one identity names.
pub const CRLS_MAX: usize = 64;
