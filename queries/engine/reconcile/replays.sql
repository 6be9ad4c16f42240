-- Which replays have sent rejected lines of these uploads again, and how many lines, newest replay first.
SELECT upload_id, replay_id, count() AS rows
FROM reject_replays FINAL
WHERE upload_id IN {uploads:Array(String)}
GROUP BY upload_id, replay_id
ORDER BY replay_id DESC
LIMIT {limit:UInt64}
