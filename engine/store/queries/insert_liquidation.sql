INSERT INTO liquidations (
    signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action, attempt,
    liquidated_size, liquidation_price, reward, fee, bad_debt, uncovered_bad_debt, error_message, outcome,
    landed, slot, compute_units, created_at, submitted_at, timestamp, finalized_at,
    liquidated_by
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    coalesce((SELECT detected_at FROM intents WHERE signature = $1), $22), $23, $24, $25, $26
)
ON CONFLICT (signature, created_at) DO UPDATE
SET finalized_at = EXCLUDED.finalized_at
WHERE liquidations.finalized_at IS NULL AND EXCLUDED.finalized_at IS NOT NULL
