UPDATE intents
SET status = $2,
    landed = $3,
    submitted_at = $4,
    confirmed_at = $5,
    finalized_at = coalesce($6, finalized_at),
    ended_at = $7
WHERE signature = $1
