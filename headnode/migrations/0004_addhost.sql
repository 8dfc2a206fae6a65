-- addhost. Times, digests and ids as in the first schema.

-- The machine's own id (SMBIOS), as its network boot says it: by it a machine is known again with another interface.
ALTER TABLE nodes ADD COLUMN uuid TEXT;
CREATE UNIQUE INDEX one_machine ON nodes (uuid);
ALTER TABLE strangers ADD COLUMN uuid TEXT;

-- Machines that are not ours to boot: their names and addresses are taken, and plugins hear of them.
CREATE TABLE hosts (
    name     TEXT PRIMARY KEY,
    network  TEXT NOT NULL REFERENCES networks (name),
    address  TEXT NOT NULL UNIQUE,
    added_at INTEGER NOT NULL
) STRICT;

-- A name or an address is a node's or a host's, not both.
CREATE TRIGGER node_added BEFORE INSERT ON nodes
WHEN EXISTS (SELECT 1 FROM hosts WHERE name = NEW.name OR address = NEW.address)
BEGIN SELECT RAISE(ABORT, 'a host has this name or this address: see `headnode host list`'); END;
CREATE TRIGGER node_changed BEFORE UPDATE OF name, address ON nodes
WHEN EXISTS (SELECT 1 FROM hosts WHERE name = NEW.name OR address = NEW.address)
BEGIN SELECT RAISE(ABORT, 'a host has this name or this address: see `headnode host list`'); END;
CREATE TRIGGER host_added BEFORE INSERT ON hosts
WHEN EXISTS (SELECT 1 FROM nodes WHERE name = NEW.name OR address = NEW.address)
BEGIN SELECT RAISE(ABORT, 'a node has this name or this address: see `headnode node list`'); END;

-- What plugins are still to be told of: written with the change itself, gone when they were told. `mac` is the machine's
-- that was replaced.
CREATE TABLE announcements (
    id   INTEGER PRIMARY KEY,
    verb TEXT NOT NULL CHECK (verb IN ('added', 'replaced')),
    node INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    mac  TEXT
) STRICT;
