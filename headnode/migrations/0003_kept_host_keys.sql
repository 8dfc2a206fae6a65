-- Whether the NII that was released to the attempt said `root.ssh_host_keys: keep`: only such an install has in its root
-- what the node has in escrow.
ALTER TABLE attempts ADD COLUMN keeps_host_keys INTEGER NOT NULL DEFAULT 0;
