-- What the gate signed again for those who cannot read the form that was verified: by image and form, with the key that
-- was used. The manifests are ordinary ones, and served only while their image is.
CREATE TABLE counter_signatures (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    form TEXT NOT NULL,
    manifest TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (repository, digest, form),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
CREATE INDEX counter_signatures_by_manifest ON counter_signatures (repository, manifest);
