-- Counts the hours that would still differ after a repair.
SELECT count() FROM plan_left_hours
