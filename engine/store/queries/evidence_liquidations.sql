SELECT
    signature, error_message, landed, slot, liquidated_size, liquidation_price, reward, fee, bad_debt,
    uncovered_bad_debt
FROM liquidations
WHERE cluster = $1 AND liquidator = $2 AND program_id = $3 AND signature > $4
ORDER BY signature
LIMIT $5
