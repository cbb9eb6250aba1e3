WITH gone AS (
    DELETE FROM failed_liquidations
    WHERE liquidation_id = ANY (ARRAY(
        SELECT liquidation_id FROM failed_liquidations
        WHERE timestamp < $1 AND status IN ('dismissed', 'resolved')
        LIMIT $2
    ))
    RETURNING 1
)
SELECT count(*) AS gone FROM gone
