CREATE MATERIALIZED VIEW IF NOT EXISTS method_hours_view TO method_hours AS
SELECT toStartOfHour(paid_at) AS hour, method, count() AS payments, countIf(ifNull(refunded, false)) AS refunds, sum(amount) AS amount
FROM payments
WHERE NOT recounted
GROUP BY hour, method
