SELECT
    (SELECT count(*) FROM failed_liquidations
        WHERE cluster = $1 AND liquidator = $2 AND program_id = $3) AS failed_liquidations,
    (SELECT count(*) FROM failed_liquidations
        WHERE cluster = $1 AND liquidator = $2 AND program_id = $3
        AND status IN ('open', 'retrying')) AS failed_liquidations_open,
    (SELECT count(*) FROM insurance_fund_transactions
        WHERE cluster = $1 AND program_id = $3) AS fund_transactions,
    (SELECT count(*) FROM refused_records r JOIN journal_progress p USING (journal_id)
        WHERE p.identity = concat_ws('/', $1::text, $2::text, $3::text)) AS refused_records
