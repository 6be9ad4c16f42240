-- Counts the noted hours that are not the sum of their rounds. The digest changes when they, or what they lack, change.
SELECT count() AS hours, groupBitXor(cityHash64(*)) AS digest
FROM plan_hour_sums
