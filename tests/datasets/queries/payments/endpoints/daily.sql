-- Payments per day, with a method
-- path: /payments/daily
-- param method default=card One of card, transfer and wallet
-- cache: 1h
-- plot: bars x=day y=total,largest
SELECT toDate(paid_at) AS day, sum(amount) AS total, max(amount) AS largest, count() AS payments
FROM payments
WHERE method = {method:Enum('card', 'transfer', 'wallet')}
GROUP BY day
ORDER BY day
