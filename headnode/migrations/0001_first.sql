-- The first schema. Times are milliseconds since 1970, UTC; digests and ids are their lower-case text.

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE networks (
    name        TEXT PRIMARY KEY,
    interface   TEXT NOT NULL,
    subnet      TEXT NOT NULL,
    address     TEXT NOT NULL UNIQUE,
    range       TEXT,
    gateway     TEXT,
    dns         TEXT NOT NULL,
    domain      TEXT,
    dhcp        TEXT NOT NULL CHECK (dhcp IN ('managed', 'external')),
    mac_proof   TEXT NOT NULL CHECK (mac_proof IN ('link', 'none'))
) STRICT;

CREATE TABLE images (
    name        TEXT PRIMARY KEY,
    digest      TEXT NOT NULL,
    imported_at INTEGER NOT NULL
) STRICT;

CREATE TABLE netboots (
    name     TEXT PRIMARY KEY,
    kernel   TEXT NOT NULL,
    initrd   TEXT NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;

CREATE TABLE groups (
    name       TEXT PRIMARY KEY,
    document   TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE nodes (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL REFERENCES groups (name),
    network   TEXT NOT NULL REFERENCES networks (name),
    mac       TEXT NOT NULL UNIQUE,
    address   TEXT UNIQUE,
    overrides TEXT NOT NULL,
    state     TEXT NOT NULL,
    since     INTEGER NOT NULL,
    seen_at   INTEGER
) STRICT;

-- MAC addresses that asked for a boot script and are no node.
CREATE TABLE strangers (
    mac        TEXT PRIMARY KEY,
    address    TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT;

-- An admin's wish to have a node installed. `tries` counts its attempts since it last went well.
CREATE TABLE armings (
    id       TEXT PRIMARY KEY,
    node     INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    armed_at INTEGER NOT NULL,
    ended_at INTEGER,
    tries    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX armings_of_node ON armings (node);
CREATE UNIQUE INDEX one_arming ON armings (node) WHERE ended_at IS NULL;

-- One boot's try at an arming. `key`, `boot_id` and `session` (a hash) from its beginning on, when the token was traded;
-- `kind` (the NII's install type) from the release of its NII on.
CREATE TABLE attempts (
    id        TEXT PRIMARY KEY,
    arming    TEXT NOT NULL REFERENCES armings (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    token     BLOB NOT NULL,
    minted_at INTEGER NOT NULL,
    begun_at  INTEGER,
    ended_at  INTEGER,
    key       BLOB,
    boot_id   TEXT,
    session   BLOB UNIQUE,
    kind      TEXT CHECK (kind IN ('disked', 'diskless', 'package')),
    report    TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX attempts_of_arming ON attempts (arming);
CREATE UNIQUE INDEX one_attempt ON attempts (arming) WHERE ended_at IS NULL;

CREATE TABLE events (
    id          INTEGER PRIMARY KEY,
    node        INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    attempt     TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    mono_ms     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL,
    UNIQUE (node, boot_id, seq)
) STRICT;

-- Outlives the node: who did what, when and why. `kind` is `state` or `security`.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('state', 'security')),
    node       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    cause      TEXT NOT NULL,
    from_state TEXT,
    to_state   TEXT,
    detail     TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of_node ON audit (node, id);
