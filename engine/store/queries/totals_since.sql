SELECT
    count(*) AS attempts,
    count(*) FILTER (WHERE error_message IS NULL AND action = 'full') AS full,
    count(*) FILTER (WHERE error_message IS NULL AND action = 'partial') AS partial,
    count(*) FILTER (WHERE outcome = 'already liquidated') AS already_liquidated,
    count(*) FILTER (WHERE error_message IS NOT NULL AND outcome <> ALL ($5::text[])) AS failed,
    coalesce(sum(fee), 0) AS fees_lamports,
    coalesce(sum(reward), 0) AS rewards_lamports,
    coalesce(sum(bad_debt), 0) AS covered_lamports,
    coalesce(sum(uncovered_bad_debt), 0) AS uncovered_lamports
FROM liquidations
WHERE cluster = $1 AND liquidator = $2 AND program_id = $3 AND timestamp >= $4
