-- A network behind a relay has the head node's address on another network: two networks may have the same. SQLite drops no
-- column's UNIQUE, so the table is made anew; what refers to it is looked at when all of it is done.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE networks_before AS SELECT * FROM networks;
DROP TABLE networks;
CREATE TABLE networks (
    name        TEXT PRIMARY KEY,
    interface   TEXT NOT NULL,
    subnet      TEXT NOT NULL,
    address     TEXT NOT NULL,
    range       TEXT,
    gateway     TEXT,
    dns         TEXT NOT NULL,
    domain      TEXT,
    dhcp        TEXT NOT NULL CHECK (dhcp IN ('managed', 'external')),
    mac_proof   TEXT NOT NULL CHECK (mac_proof IN ('link', 'none'))
) STRICT;
INSERT INTO networks SELECT * FROM networks_before;
DROP TABLE networks_before;
