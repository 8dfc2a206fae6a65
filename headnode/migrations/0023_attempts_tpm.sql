-- `tpm`: name of the endorsement key of the TPM that the session's key was wrapped for. Only who has that TPM can show the
-- session; the first time that somebody does, the TPM is the node's.
ALTER TABLE attempts ADD COLUMN tpm TEXT;
