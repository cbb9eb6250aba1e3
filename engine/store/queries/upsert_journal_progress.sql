INSERT INTO journal_progress (journal_id, identity, shipped_seq, updated_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (journal_id) DO UPDATE
SET shipped_seq = EXCLUDED.shipped_seq, updated_at = EXCLUDED.updated_at
