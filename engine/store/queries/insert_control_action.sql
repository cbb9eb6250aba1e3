INSERT INTO control_actions (journal_id, seq, at, actor, command, detail, accepted, liquidator, cluster)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (journal_id, seq, at) DO NOTHING
