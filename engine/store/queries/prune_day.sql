SELECT prune_liquidations_day($1) AS day
