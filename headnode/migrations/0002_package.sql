-- The package flow. Times, digests and ids as in the first schema.

-- Our segment behind a distribution's initrd.
ALTER TABLE netboots ADD COLUMN segment TEXT;
-- The node's id in the site's own inventory.
ALTER TABLE nodes ADD COLUMN uid TEXT;

-- Scripts and kickstart templates: all versions; a name means the one that was added last. `program`: whether it says
-- itself what runs it.
CREATE TABLE scripts (
    name     TEXT NOT NULL,
    digest   TEXT NOT NULL,
    size     INTEGER NOT NULL,
    program  INTEGER NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (name, digest)
) STRICT;

-- What a node saved from the disks that it is about to overwrite, sealed with keys/escrow.key.
CREATE TABLE escrows (
    node    INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    sealed  BLOB NOT NULL,
    kept_at INTEGER NOT NULL
) STRICT;
