-- A payment.
-- path: /payment/{id}
-- param id required Its payment_id
-- answer: one
SELECT payment_id, paid_at, method, payer, amount FROM payments WHERE payment_id = {id:UInt64}
