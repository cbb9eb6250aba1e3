INSERT INTO failed_liquidations (
    liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, outcome, error_message,
    retry_count, status, created_at, timestamp, history
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (liquidation_id) DO UPDATE
SET outcome = EXCLUDED.outcome,
    error_message = EXCLUDED.error_message,
    retry_count = EXCLUDED.retry_count,
    status = EXCLUDED.status,
    timestamp = EXCLUDED.timestamp,
    history = EXCLUDED.history
