-- Boot states: locks and rollouts. Times and ids as in the first schema.

-- A node that must not be armed or removed.
CREATE TABLE locks (
    node      INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    reason    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    locked_at INTEGER NOT NULL
) STRICT;

-- An install of many nodes, some at a time. `cycle`: whether they are power-cycled when it is their turn. `outcome`,
-- from its end on: `done`, or why it stopped.
CREATE TABLE rollouts (
    id         INTEGER PRIMARY KEY,
    actor      TEXT NOT NULL,
    canary     INTEGER NOT NULL,
    batch      INTEGER NOT NULL,
    stop_after INTEGER NOT NULL,
    cycle      INTEGER NOT NULL,
    begun_at   INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT
) STRICT;

-- `arming` from its turn on; `cycled` once its power was; `failure`, once it is over: why, or nothing.
CREATE TABLE rollout_nodes (
    rollout  INTEGER NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    node     INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    arming   TEXT,
    cycled   INTEGER NOT NULL DEFAULT 0,
    over     INTEGER NOT NULL DEFAULT 0,
    failure  TEXT,
    PRIMARY KEY (rollout, node)
) STRICT;
