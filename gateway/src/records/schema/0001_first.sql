-- Content whose file lies in the blob store.
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    stored_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- A repository holds a blob. linked_at is touched by each push that relies on the link.
CREATE TABLE blob_links (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    linked_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID, STRICT;
CREATE INDEX blob_links_by_digest ON blob_links (digest);

-- What the walk over a blob found, by the walk's version.
CREATE TABLE layer_reports (
    digest TEXT NOT NULL,
    analyzer TEXT NOT NULL,
    report BLOB NOT NULL,
    PRIMARY KEY (digest, analyzer)
) WITHOUT ROWID, STRICT;

CREATE TABLE manifest_bytes (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- A repository holds a manifest. waiting: JSON reasons why the last attempt to release it was denied.
CREATE TABLE manifests (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES manifest_bytes (digest),
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    annotations TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT,
    state TEXT NOT NULL CHECK (state IN ('staged', 'released', 'withdrawn')),
    waiting TEXT,
    pushed_by TEXT NOT NULL,
    pushed_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID, STRICT;
CREATE INDEX manifests_by_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_state ON manifests (state, pushed_at) WHERE state = 'staged';

-- What a manifest names: blobs, or the manifests of an index.
CREATE TABLE manifest_refs (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    target TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('blob', 'manifest')),
    PRIMARY KEY (repository, digest, target),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
CREATE INDEX manifest_refs_by_target ON manifest_refs (repository, target);

-- staged: what producers see; released: what consumers see.
CREATE TABLE tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    staged TEXT,
    released TEXT,
    PRIMARY KEY (repository, tag)
) WITHOUT ROWID, STRICT;

-- The last refusal under a reference (a digest, or a tag), so that consumers are told why.
CREATE TABLE refusals (
    repository TEXT NOT NULL,
    reference TEXT NOT NULL,
    digest TEXT NOT NULL,
    denial TEXT NOT NULL,
    refused_at INTEGER NOT NULL,
    PRIMARY KEY (repository, reference)
) WITHOUT ROWID, STRICT;
CREATE INDEX refusals_by_time ON refusals (refused_at);

-- Which policy last allowed a release. A pull under another policy asks again.
CREATE TABLE verdicts (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    policy TEXT NOT NULL,
    advisories TEXT,
    denial TEXT,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID, STRICT;

-- The decision log: entries as canonical JSON, chained by hash.
CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY,
    entry BLOB NOT NULL,
    hash TEXT NOT NULL
) STRICT;
