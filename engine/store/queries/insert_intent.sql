INSERT INTO intents (
    signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action, amount,
    attempt, raw_transaction, blockhash, last_valid_block_height, compute_unit_limit,
    priority_fee_microlamports, decision, detected_at, created_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (signature) DO NOTHING
