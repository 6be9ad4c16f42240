-- Payments, by amount.
-- The largest first.
-- path: /payments/largest
-- param payer  Only of these payers
-- param pairs  Only these pairs of payer and method
-- param least  default=0 min=0 The smallest amount
-- param since  From this time (inclusive)
-- param limit  default=10 max=100 Payments of a page
-- page: amount desc, payment_id
SELECT payment_id, paid_at, method, payer, amount, toUInt128(payment_id) * toUInt128('100000000000000000000') AS reference
FROM payments
WHERE (empty({payer:Array(String)}) OR payer IN {payer:Array(String)})
    AND (empty({pairs:Array(Tuple(payer String, method String))}) OR (payer, method) IN {pairs:Array(Tuple(payer String, method String))})
    AND amount >= {least:Decimal(18, 4)}
    AND ({since:Nullable(DateTime64(3, 'UTC'))} IS NULL OR paid_at >= {since:Nullable(DateTime64(3, 'UTC'))})
