-- The receipt that the gate gave for an image: manifest is the receipt's own digest, says its content as JSON. The
-- previous one stays for whoever has just read the list of referrers.
CREATE TABLE receipts (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    manifest TEXT NOT NULL,
    previous TEXT,
    says TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (repository, digest),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
CREATE INDEX receipts_by_manifest ON receipts (repository, manifest);
CREATE INDEX receipts_by_previous ON receipts (repository, previous) WHERE previous IS NOT NULL;
CREATE INDEX receipts_by_end ON receipts (expires);
