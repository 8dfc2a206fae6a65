-- Rollouts: a time for each turn, and who is in which. Times as in the first schema.

-- How long a node's turn may take, in seconds.
ALTER TABLE rollouts ADD COLUMN turn_s INTEGER NOT NULL DEFAULT 7200;
-- When the node's turn began; NULL before, and for turns from before this column.
ALTER TABLE rollout_nodes ADD COLUMN begun_at INTEGER;

CREATE INDEX rollouts_of_node ON rollout_nodes (node);
