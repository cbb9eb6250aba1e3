WITH gone AS (
    DELETE FROM intents
    WHERE signature = ANY (ARRAY(
        SELECT signature FROM intents
        WHERE created_at < $1 AND ended_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM liquidations
            WHERE liquidations.signature = intents.signature AND liquidations.created_at = intents.detected_at
        )
        ORDER BY created_at
        LIMIT $2
    ))
    RETURNING 1
)
SELECT count(*) AS gone FROM gone
