SELECT signature, transaction_type, amount, account, slot, timestamp
FROM insurance_fund_transactions
WHERE cluster = $1 AND program_id = $2
ORDER BY timestamp DESC, id DESC
LIMIT $3 OFFSET $4
