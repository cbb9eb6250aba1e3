SELECT count(*) AS total FROM (
    SELECT 1 FROM insurance_fund_transactions WHERE cluster = $1 AND program_id = $2 LIMIT $3
) AS matching
