-- When a verdict is asked for again: a key's window or an exception ends, or a certificate.
ALTER TABLE verdicts ADD COLUMN until INTEGER;

-- Why a manifest was withdrawn. cause: the digest that was named; an index takes with it what no other one lists.
CREATE TABLE withdrawals (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT NOT NULL,
    withdrawn_by TEXT NOT NULL,
    withdrawn_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
