SELECT max(last_slot) AS last_slot FROM pruned_days WHERE cluster = $1
