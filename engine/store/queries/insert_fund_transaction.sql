INSERT INTO insurance_fund_transactions (
    signature, transaction_type, event_index, amount, account, cluster, program_id, slot, timestamp
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (signature, transaction_type, event_index) DO NOTHING
