-- Who liquidated a position before us, if the chain says so: in rows whose outcome is "already liquidated".
ALTER TABLE liquidations ADD COLUMN liquidated_by TEXT;

-- The last attempts of a liquidation that was given up, oldest first: objects of attempt, at_ns, outcome, message
-- and signature, which is null where nothing was signed.
ALTER TABLE failed_liquidations ADD COLUMN history JSONB NOT NULL DEFAULT '[]';
