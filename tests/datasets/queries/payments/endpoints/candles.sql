-- Amounts by hour.
-- plot: candles x=hour first highest lowest last
SELECT toStartOfHour(paid_at) AS hour, argMin(amount, paid_at) AS first, max(amount) AS highest, min(amount) AS lowest,
    argMax(amount, paid_at) AS last
FROM payments
GROUP BY hour
ORDER BY hour
