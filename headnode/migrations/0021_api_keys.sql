-- Keys of admins who are elsewhere. Times as in the first schema.
CREATE TABLE api_keys (
    name       TEXT PRIMARY KEY,
    -- BLAKE3 of the secret, which has 256 random bits.
    hash       BLOB NOT NULL UNIQUE,
    scope      TEXT NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
    made_at    INTEGER NOT NULL,
    -- NULL: it does not end by itself.
    expires_at INTEGER
) STRICT;
