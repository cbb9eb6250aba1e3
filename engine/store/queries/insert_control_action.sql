INSERT INTO control_actions (
    journal_id, seq, at, actor, command, detail, accepted, liquidator, cluster, uid, terminal
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (journal_id, seq, at) DO NOTHING
