SELECT
    signature, position_pubkey, landed, last_valid_block_height, created_at, submitted_at, finalized_at, ended_at,
    decision
FROM intents
WHERE cluster = $1 AND liquidator = $2 AND program_id = $3 AND signature > $4
ORDER BY signature
LIMIT $5
