-- What became of the rows of an upload that are loaded so far.
SELECT sum(new) AS new, sum(duplicate) AS duplicate, sum(conflict) AS conflict
FROM upload_counts FINAL
WHERE upload_id = {upload_id:UUID}
