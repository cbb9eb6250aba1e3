INSERT INTO refused_records (journal_id, seq, kind, payload, error, at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (journal_id, seq) DO NOTHING
