-- What an image holds, by the digest of its manifest: new advisories judge it without reading a layer again. scanner: by
-- which version; traits: what the manifest and the configuration say, as JSON; contents: packed. Of a manifest that cannot
-- run both are NULL: that it was looked at is remembered.
CREATE TABLE inventories (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    scanner TEXT NOT NULL,
    traits TEXT,
    contents BLOB
) STRICT;

-- Under what advisories speak of packages (ecosystem `debian:12`), and packages by their own names (`pkg:deb`).
CREATE TABLE package_keys (
    id INTEGER PRIMARY KEY,
    ecosystem TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (ecosystem, name)
) STRICT;

CREATE TABLE inventory_packages (
    package INTEGER NOT NULL REFERENCES package_keys (id),
    inventory INTEGER NOT NULL REFERENCES inventories (id) ON DELETE CASCADE,
    PRIMARY KEY (package, inventory)
) WITHOUT ROWID, STRICT;
CREATE INDEX inventory_packages_by_inventory ON inventory_packages (inventory);

-- Since when a released image is refused for a finding.
CREATE TABLE refused_since (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    finding TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (repository, digest, finding),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;

-- What the advisories said when the verdict was given, in short: another snapshot that says the same changes nothing.
ALTER TABLE verdicts ADD COLUMN said TEXT;
CREATE INDEX verdicts_by_end ON verdicts (until) WHERE until IS NOT NULL;
