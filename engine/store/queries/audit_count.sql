SELECT count(*) AS total FROM (
    SELECT 1 FROM control_actions WHERE cluster = $1 AND liquidator = $2 LIMIT $3
) AS matching
