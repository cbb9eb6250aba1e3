INSERT INTO statement_statistics (name, query, calls, total_exec_time)
VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE
SET query = EXCLUDED.query,
    calls = statement_statistics.calls + EXCLUDED.calls,
    total_exec_time = statement_statistics.total_exec_time + EXCLUDED.total_exec_time,
    updated_at = now()
