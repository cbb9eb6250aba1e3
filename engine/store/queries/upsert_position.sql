INSERT INTO positions (
    position_pubkey, owner, cluster, program_id, symbol, side, size, collateral, entry_price, leverage,
    maintenance_margin, mark_price, health_factor, band, slot, updated_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (position_pubkey) DO UPDATE
SET owner = EXCLUDED.owner,
    cluster = EXCLUDED.cluster,
    program_id = EXCLUDED.program_id,
    symbol = EXCLUDED.symbol,
    side = EXCLUDED.side,
    size = EXCLUDED.size,
    collateral = EXCLUDED.collateral,
    entry_price = EXCLUDED.entry_price,
    leverage = EXCLUDED.leverage,
    maintenance_margin = EXCLUDED.maintenance_margin,
    mark_price = EXCLUDED.mark_price,
    health_factor = EXCLUDED.health_factor,
    band = EXCLUDED.band,
    slot = EXCLUDED.slot,
    updated_at = EXCLUDED.updated_at
