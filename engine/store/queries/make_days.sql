SELECT make_liquidations_days($1, $2) AS made
