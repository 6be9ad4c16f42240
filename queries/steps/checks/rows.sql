-- How much is stored: messages, chains, and when they were produced
SELECT
    count() AS messages,
    uniqExact(number) AS chains,
    max(step) AS longest,
    max(value) AS highest,
    min(produced_at) AS first_produced,
    max(produced_at) AS last_produced
FROM steps
