-- Distributions that package installs come from.

-- `version`: which tree of that name; `content` (JSON): what is in it; `link`: the folder that it is a link to.
CREATE TABLE oses (
    name        TEXT PRIMARY KEY,
    version     TEXT NOT NULL,
    content     TEXT NOT NULL,
    link        TEXT,
    size        INTEGER NOT NULL,
    files       INTEGER NOT NULL,
    imported_at INTEGER NOT NULL
) STRICT;
