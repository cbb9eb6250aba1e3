-- The engine's record in PostgreSQL: what was signed, how each attempt ended, what the fund paid.
--
-- Amounts are whole numbers in NUMERIC, since a u64 does not fit BIGINT: sizes, prices and collateral are
-- scaled by 1e6, everything else is lamports. Times are those of the engine's clock, kept to the microsecond.
-- `cluster` is the genesis hash, so that two clusters can share one database without being mixed up.

-- One row per signed transaction, written before its bytes left the engine.
CREATE TABLE intents (
    signature                  TEXT PRIMARY KEY,
    liquidation_id             TEXT NOT NULL,   -- one liquidation of one position; its attempts share it
    position_pubkey            TEXT NOT NULL,
    owner                      TEXT NOT NULL,
    liquidator                 TEXT NOT NULL,
    cluster                    TEXT NOT NULL,
    program_id                 TEXT NOT NULL,
    symbol                     TEXT NOT NULL,
    action                     TEXT NOT NULL CHECK (action IN ('full', 'partial')),
    amount                     NUMERIC(20, 0) NOT NULL,
    attempt                    INTEGER NOT NULL,
    raw_transaction            BYTEA NOT NULL,
    blockhash                  TEXT NOT NULL,
    last_valid_block_height    NUMERIC(20, 0) NOT NULL,
    compute_unit_limit         BIGINT NOT NULL,
    priority_fee_microlamports NUMERIC(20, 0) NOT NULL,
    decision                   JSONB NOT NULL,  -- every input of the decision, to recompute it
    status                     TEXT NOT NULL DEFAULT 'open',  -- then the outcome's own word
    landed                     BOOLEAN,
    detected_at                TIMESTAMPTZ NOT NULL,
    created_at                 TIMESTAMPTZ NOT NULL,
    submitted_at               TIMESTAMPTZ,
    confirmed_at               TIMESTAMPTZ,
    finalized_at               TIMESTAMPTZ,
    ended_at                   TIMESTAMPTZ      -- when the outcome became known
);
CREATE INDEX intents_by_position ON intents (position_pubkey, created_at);
CREATE INDEX intents_by_creation ON intents (created_at);

-- One row per attempt whose end is known; error_message is NULL exactly when the liquidation succeeded.
--
-- bad_debt is what the insurance fund paid for it, so that SUM(bad_debt) / SUM(contributions) is the fund's
-- utilization as the chain computes it; what the fund could not pay stands beside it in uncovered_bad_debt,
-- and the whole bad debt of a liquidation is the sum of the two.
CREATE TABLE liquidations (
    id                 BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signature          TEXT NOT NULL UNIQUE,
    liquidation_id     TEXT NOT NULL,
    position_pubkey    TEXT NOT NULL,
    owner              TEXT NOT NULL,
    liquidator         TEXT NOT NULL,
    cluster            TEXT NOT NULL,
    program_id         TEXT NOT NULL,
    symbol             TEXT NOT NULL,
    action             TEXT NOT NULL CHECK (action IN ('full', 'partial')),
    attempt            INTEGER NOT NULL,
    liquidated_size    NUMERIC(20, 0) NOT NULL,
    liquidation_price  NUMERIC(20, 0) NOT NULL,
    reward             NUMERIC(20, 0) NOT NULL,
    fee                NUMERIC(20, 0) NOT NULL,
    bad_debt           NUMERIC(20, 0) NOT NULL,
    uncovered_bad_debt NUMERIC(20, 0) NOT NULL,
    error_message      TEXT,
    outcome            TEXT NOT NULL,
    landed             BOOLEAN NOT NULL,
    slot               NUMERIC(20, 0),
    compute_units      NUMERIC(20, 0) NOT NULL,
    created_at         TIMESTAMPTZ NOT NULL,  -- the position was detected
    submitted_at       TIMESTAMPTZ,           -- the first bytes left
    timestamp          TIMESTAMPTZ NOT NULL,  -- confirmed, or else when the outcome became known
    finalized_at       TIMESTAMPTZ
);
CREATE INDEX liquidations_by_creation ON liquidations (created_at DESC);
CREATE INDEX liquidations_by_time ON liquidations (timestamp DESC);
CREATE INDEX liquidations_by_position ON liquidations (position_pubkey, timestamp);
CREATE INDEX liquidations_with_bad_debt ON liquidations (timestamp) WHERE bad_debt > 0;

-- Liquidations that were given up, until they are retried, dismissed or resolved by the chain.
CREATE TABLE failed_liquidations (
    liquidation_id  TEXT PRIMARY KEY,
    position_pubkey TEXT NOT NULL,
    owner           TEXT NOT NULL,
    liquidator      TEXT NOT NULL,
    cluster         TEXT NOT NULL,
    program_id      TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    error_message   TEXT NOT NULL,
    retry_count     INTEGER NOT NULL,      -- attempts after the first one
    status          TEXT NOT NULL CHECK (status IN ('open', 'retrying', 'dismissed', 'resolved')),
    created_at      TIMESTAMPTZ NOT NULL,  -- its first attempt failed
    timestamp       TIMESTAMPTZ NOT NULL   -- its last attempt failed
);
CREATE INDEX failed_liquidations_by_time ON failed_liquidations (timestamp DESC);

-- Every movement of the insurance fund in lamports. A contribution comes from an account; coverage pays bad
-- debt of a position; equity is what a full liquidation left over.
CREATE TABLE insurance_fund_transactions (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signature        TEXT NOT NULL,
    transaction_type TEXT NOT NULL CHECK (transaction_type IN ('contribution', 'coverage', 'equity')),
    event_index      INTEGER NOT NULL,
    amount           NUMERIC(20, 0) NOT NULL,
    account          TEXT NOT NULL,
    cluster          TEXT NOT NULL,
    program_id       TEXT NOT NULL,
    slot             NUMERIC(20, 0) NOT NULL,
    timestamp        TIMESTAMPTZ NOT NULL,
    UNIQUE (signature, transaction_type, event_index)
);
CREATE INDEX insurance_fund_transactions_by_type ON insurance_fund_transactions (transaction_type, timestamp);

-- The last sample of each position; health_factor is NULL while it is unknown. Samples come at a slow rate
-- and are dropped while the database is away: the engine never reads them back.
CREATE TABLE positions (
    position_pubkey    TEXT PRIMARY KEY,
    owner              TEXT NOT NULL,
    cluster            TEXT NOT NULL,
    program_id         TEXT NOT NULL,
    symbol             TEXT NOT NULL,
    side               TEXT NOT NULL CHECK (side IN ('long', 'short')),
    size               NUMERIC(20, 0) NOT NULL,
    collateral         NUMERIC(20, 0) NOT NULL,
    entry_price        NUMERIC(20, 0) NOT NULL,
    leverage           INTEGER NOT NULL,
    maintenance_margin NUMERIC(20, 0) NOT NULL,
    mark_price         NUMERIC(20, 0),
    health_factor      DOUBLE PRECISION,
    band               TEXT NOT NULL,
    slot               NUMERIC(20, 0) NOT NULL,
    updated_at         TIMESTAMPTZ NOT NULL
);

-- Every administrative command, accepted or refused.
CREATE TABLE control_actions (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    journal_id TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    at         TIMESTAMPTZ NOT NULL,
    actor      TEXT NOT NULL,
    command    TEXT NOT NULL,
    detail     TEXT NOT NULL,
    accepted   BOOLEAN NOT NULL,
    liquidator TEXT NOT NULL,
    cluster    TEXT NOT NULL,
    UNIQUE (journal_id, seq, at)
);
CREATE INDEX control_actions_by_time ON control_actions (at DESC);

-- How far each engine's journal was received, in the same transaction as the rows themselves.
CREATE TABLE journal_progress (
    journal_id  TEXT PRIMARY KEY,
    identity    TEXT NOT NULL,
    shipped_seq BIGINT NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);

-- Records that this schema refused. They are kept as they came, so that one bad row neither blocks the rest
-- nor disappears.
CREATE TABLE refused_records (
    journal_id TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    payload    BYTEA NOT NULL,  -- JSON in ASCII
    error      TEXT NOT NULL,
    at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (journal_id, seq)
);

-- What each of the engine's statements cost, measured by the engine: see the view pg_stat_statements.
CREATE TABLE statement_statistics (
    name            TEXT PRIMARY KEY,
    query           TEXT NOT NULL,
    calls           BIGINT NOT NULL,
    total_exec_time DOUBLE PRECISION NOT NULL,  -- milliseconds
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now()
);
