-- Removes the differences of attempts that do not count.
DELETE FROM /* differences */ WHERE job_id = {job:UUID} AND attempt != {attempt:UUID}
