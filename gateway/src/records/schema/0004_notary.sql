-- What verified metadata of Notary v1 taught about a repository, by the name and the pin it was verified under: an older
-- state of it is refused from then on. It outlives the manifests, or deleting them would bring the old state back.
CREATE TABLE notary_seen (
    repository TEXT NOT NULL,
    gun TEXT NOT NULL,
    pin TEXT NOT NULL,
    says TEXT NOT NULL,
    PRIMARY KEY (repository, gun, pin)
) WITHOUT ROWID, STRICT;
