SELECT at, actor, command, detail, accepted, uid, terminal
FROM control_actions
WHERE cluster = $1 AND liquidator = $2
ORDER BY at DESC, id DESC
LIMIT $3 OFFSET $4
