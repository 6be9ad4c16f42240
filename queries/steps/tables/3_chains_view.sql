-- Adds each block of steps to the chains.
CREATE MATERIALIZED VIEW IF NOT EXISTS chains_view TO chains AS
SELECT
    number,
    max(step) AS steps,
    max(value) AS highest
FROM steps
GROUP BY number
