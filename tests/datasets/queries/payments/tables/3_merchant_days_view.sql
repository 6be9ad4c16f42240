-- It leaves out rows that its sums may already include: the loader adds what they lack.
CREATE MATERIALIZED VIEW IF NOT EXISTS merchant_days_view TO merchant_days AS
SELECT merchant, due_on, count() AS payments, sum(amount) AS amount, max(paid_at) AS last
FROM payments
WHERE NOT recounted
GROUP BY merchant, due_on
