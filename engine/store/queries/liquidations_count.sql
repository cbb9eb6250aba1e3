SELECT count(*) AS total FROM (
    SELECT 1
    FROM liquidations
    WHERE cluster = $1 AND liquidator = $2 AND program_id = $3
        AND ($4::text IS NULL OR symbol = $4)
        AND ($5::text IS NULL OR outcome = $5)
        AND ($6::text IS NULL OR position_pubkey LIKE $6 || '%' OR owner LIKE $6 || '%' OR signature LIKE $6 || '%')
        AND ($7::timestamptz IS NULL OR timestamp >= $7)
        AND ($8::timestamptz IS NULL OR timestamp < $8)
        AND ($9::text IS NULL OR position_pubkey = $9)
    LIMIT $10
) AS matching
