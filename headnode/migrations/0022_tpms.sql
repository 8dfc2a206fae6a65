-- TPMs that nodes are known by. Times as in the first schema.

-- `name`: of the endorsement key, in hexadecimal digits. `actor`: who it was accepted by.
CREATE TABLE tpms (
    node        INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    name        TEXT NOT NULL UNIQUE,
    actor       TEXT NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT;
