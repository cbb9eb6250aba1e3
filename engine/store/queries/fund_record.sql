WITH place AS (
    SELECT split_part(identity, '/', 1) AS cluster, split_part(identity, '/', 3) AS program_id
    FROM journal_progress
    WHERE split_part(identity, '/', 2) = $1
    ORDER BY updated_at DESC
    LIMIT 1
)
SELECT
    (SELECT coalesce(sum(amount), 0) FROM insurance_fund_transactions JOIN place USING (cluster, program_id)
        WHERE transaction_type = 'contribution') AS contributions,
    (SELECT coalesce(sum(bad_debt), 0) FROM liquidations JOIN place USING (cluster, program_id)) AS covered
