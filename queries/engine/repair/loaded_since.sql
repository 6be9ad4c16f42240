-- Counts the chunks of a topic that were loaded after a reconciliation, or the last repair of what it found, had ended.
SELECT count()
FROM loader_chunks
WHERE topic = {topic:String} AND state = 'done' AND written_at >
(
    SELECT max(written_at) FROM reconcile_jobs WHERE id = {id:String} AND state = 'done'
)
