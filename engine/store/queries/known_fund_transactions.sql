SELECT signature, transaction_type, event_index
FROM insurance_fund_transactions
WHERE cluster = $1 AND program_id = $2
ORDER BY id DESC
LIMIT $3
