-- The numbers whose chain contains a value, in ascending order, without the value itself.
-- path: /part/{value}
-- param value required min=1 A whole number of up to 38 digits
-- page: number
SELECT DISTINCT number
FROM steps
WHERE value = {value:Decimal(38, 0)} AND number != {value:Decimal(38, 0)}
