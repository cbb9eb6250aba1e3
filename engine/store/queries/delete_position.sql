DELETE FROM positions WHERE position_pubkey = $1
