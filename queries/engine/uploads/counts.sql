-- How many rows of an upload are new, duplicates and conflicts so far.
SELECT sum(new) AS new, sum(duplicate) AS duplicate, sum(conflict) AS conflict
FROM upload_counts FINAL
WHERE upload_id = {upload_id:UUID}
