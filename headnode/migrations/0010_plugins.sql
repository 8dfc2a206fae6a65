-- Calls of plugins: what came of each, the last ten thousand. `nodes` is a JSON list of names, which outlive their nodes.
-- Times as in the first schema.
CREATE TABLE plugin_calls (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    plugin TEXT NOT NULL,
    verb   TEXT NOT NULL,
    nodes  TEXT NOT NULL,
    -- Why it failed; NULL when it did not.
    failure TEXT,
    output TEXT NOT NULL
) STRICT;

CREATE INDEX host_keys_of_node ON events (node, id) WHERE kind = 'host-keys';
