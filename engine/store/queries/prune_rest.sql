WITH gone AS (
    DELETE FROM liquidations_rest
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM liquidations_rest
        WHERE created_at < $1 AND bad_debt = 0 AND uncovered_bad_debt = 0
        LIMIT $2
    ))
    RETURNING 1
)
SELECT count(*) AS gone FROM gone
