-- The history in one partition a day, so that a day that is old enough goes without a trace of work.
--
-- The key of the partitions is when the position was detected, which its intent says and which never changes;
-- when an attempt ended is learned later and could be learned twice. A unique key of a partitioned table has to
-- hold the partitions' key, so (signature, created_at) is unique here, and that one signature has one created_at
-- is what `intents` sees to, which stays whole: rows take it from there.
--
-- Rows of no day that has a partition are in liquidations_rest: those of a clock that was wrong, those that were
-- shipped late, and those with bad debt, which stay for ever: what the fund paid in all is told by their sum.
-- The names of the indexes leave those free that the operational guide uses for the same ones.

ALTER TABLE liquidations RENAME TO liquidations_whole;
ALTER TABLE liquidations_whole ALTER COLUMN id DROP IDENTITY;
ALTER TABLE liquidations_whole DROP CONSTRAINT liquidations_pkey;
ALTER TABLE liquidations_whole DROP CONSTRAINT liquidations_signature_key;
DROP INDEX liquidations_by_creation;
DROP INDEX liquidations_by_time;
DROP INDEX liquidations_by_position;
DROP INDEX liquidations_with_bad_debt;

CREATE SEQUENCE liquidations_id_seq;
CREATE TABLE liquidations (
    id                 BIGINT NOT NULL DEFAULT nextval('liquidations_id_seq'),
    signature          TEXT NOT NULL,
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
    created_at         TIMESTAMPTZ NOT NULL,
    submitted_at       TIMESTAMPTZ,
    timestamp          TIMESTAMPTZ NOT NULL,
    finalized_at       TIMESTAMPTZ,
    liquidated_by      TEXT,
    PRIMARY KEY (signature, created_at)
) PARTITION BY RANGE (created_at);
ALTER SEQUENCE liquidations_id_seq OWNED BY liquidations.id;
CREATE INDEX liquidations_by_time ON liquidations (timestamp DESC);
CREATE INDEX liquidations_by_position ON liquidations (position_pubkey, timestamp);
CREATE INDEX liquidations_with_bad_debt ON liquidations (timestamp) WHERE bad_debt > 0;
CREATE TABLE liquidations_rest PARTITION OF liquidations DEFAULT;
CREATE INDEX liquidations_rest_by_creation ON liquidations_rest (created_at);

CREATE INDEX positions_by_health ON positions (health_factor);

-- What was pruned: rows that are gone, rows with bad debt that were kept, and how far the chain is without a row.
CREATE TABLE pruned_days (
    day       DATE NOT NULL,
    cluster   TEXT NOT NULL,
    dropped   BIGINT NOT NULL,
    kept      BIGINT NOT NULL,
    last_slot NUMERIC(20, 0),
    pruned_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (day, cluster)
);

-- Makes the partition of a day (UTC) and moves there what came before it; false if there is one.
CREATE FUNCTION make_liquidations_day(day DATE) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    home  TEXT := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'liquidations'::regclass);
    place TEXT := format('%s.%I', home, 'liquidations_' || to_char(day, 'YYYYMMDD'));
    first TIMESTAMPTZ := day::timestamp AT TIME ZONE 'UTC';
    next  TIMESTAMPTZ := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    LOCK TABLE liquidations IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(place) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE liquidations_rest IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
        'CREATE TABLE %s (LIKE liquidations INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', place
    );
    EXECUTE format(
        'WITH moved AS (DELETE FROM liquidations_rest WHERE created_at >= $1 AND created_at < $2 RETURNING *)'
        ' INSERT INTO %s SELECT * FROM moved', place
    ) USING first, next;
    EXECUTE format('ALTER TABLE liquidations ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', place, first, next);
    RETURN true;
END $$;

-- Makes the partitions of today and of the two days ahead, and of every day since `oldest` of which there are
-- rows without one; says how many. Whoever changes partitions locks the table before anything of it is read.
CREATE FUNCTION make_liquidations_days(today DATE, oldest DATE) RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
    made INTEGER;
BEGIN
    LOCK TABLE liquidations IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT count(*) FILTER (WHERE make_liquidations_day(wanted.day)) INTO made
    FROM (
        SELECT today + ahead AS day FROM generate_series(0, 2) AS ahead
        UNION
        SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::DATE FROM liquidations_rest
        WHERE created_at >= oldest::timestamp AT TIME ZONE 'UTC'
            AND created_at < (today + 3)::timestamp AT TIME ZONE 'UTC'
    ) AS wanted;
    RETURN made;
END $$;

-- Ends the oldest day before `first_kept` that has a partition, except for its rows with bad debt; NULL if there
-- is none.
CREATE FUNCTION prune_liquidations_day(first_kept DATE) RETURNS DATE LANGUAGE plpgsql AS $$
DECLARE
    place REGCLASS;
    day   DATE;
BEGIN
    LOCK TABLE liquidations IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT inhrelid, to_date(right(relname, 8), 'YYYYMMDD') INTO place, day
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'liquidations'::regclass AND relname ~ '^liquidations_[0-9]{8}$'
        AND to_date(right(relname, 8), 'YYYYMMDD') < first_kept
    ORDER BY 2 LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    EXECUTE format('ALTER TABLE liquidations DETACH PARTITION %s', place);
    EXECUTE format(
        'INSERT INTO pruned_days (day, cluster, dropped, kept, last_slot, pruned_at)'
        ' SELECT $1, cluster, count(*) FILTER (WHERE bad_debt = 0 AND uncovered_bad_debt = 0),'
        ' count(*) FILTER (WHERE bad_debt > 0 OR uncovered_bad_debt > 0), max(slot), now() FROM %s GROUP BY cluster'
        ' ON CONFLICT (day, cluster) DO UPDATE SET dropped = pruned_days.dropped + EXCLUDED.dropped,'
        ' kept = pruned_days.kept + EXCLUDED.kept, last_slot = greatest(pruned_days.last_slot, EXCLUDED.last_slot),'
        ' pruned_at = EXCLUDED.pruned_at', place
    ) USING day;
    EXECUTE format(
        'INSERT INTO liquidations SELECT * FROM %s WHERE bad_debt > 0 OR uncovered_bad_debt > 0', place
    );
    EXECUTE format('DROP TABLE %s', place);
    RETURN day;
END $$;

-- The days of the last two years, the longest that may be kept; what is older goes to liquidations_rest.
SELECT make_liquidations_day(day) FROM (
    SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::DATE AS day FROM liquidations_whole
    WHERE created_at > now() - interval '730 days' AND created_at < now() + interval '2 days'
) AS days;
INSERT INTO liquidations (
    id, signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action, attempt,
    liquidated_size, liquidation_price, reward, fee, bad_debt, uncovered_bad_debt, error_message, outcome, landed,
    slot, compute_units, created_at, submitted_at, timestamp, finalized_at, liquidated_by
)
SELECT
    id, signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action, attempt,
    liquidated_size, liquidation_price, reward, fee, bad_debt, uncovered_bad_debt, error_message, outcome, landed,
    slot, compute_units, created_at, submitted_at, timestamp, finalized_at, liquidated_by
FROM liquidations_whole;
SELECT setval('liquidations_id_seq', coalesce((SELECT max(id) FROM liquidations), 0) + 1, false);
DROP TABLE liquidations_whole;
SELECT make_liquidations_days((now() AT TIME ZONE 'UTC')::DATE, (now() AT TIME ZONE 'UTC')::DATE - 730);
