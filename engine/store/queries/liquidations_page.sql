SELECT
    signature, liquidation_id, position_pubkey, owner, symbol, action, attempt, outcome, error_message, landed, slot,
    liquidated_size, liquidation_price, reward, fee, bad_debt, uncovered_bad_debt, compute_units, created_at,
    submitted_at, timestamp, finalized_at, liquidated_by
FROM liquidations
WHERE cluster = $1 AND liquidator = $2 AND program_id = $3
    AND ($4::text IS NULL OR symbol = $4)
    AND ($5::text IS NULL OR outcome = $5)
    AND ($6::text IS NULL OR position_pubkey LIKE $6 || '%' OR owner LIKE $6 || '%' OR signature LIKE $6 || '%')
    AND ($7::timestamptz IS NULL OR timestamp >= $7)
    AND ($8::timestamptz IS NULL OR timestamp < $8)
    AND ($9::text IS NULL OR position_pubkey = $9)
ORDER BY timestamp DESC, id DESC
LIMIT $10 OFFSET $11
