-- Earlier uploads that began with the same bytes, the first of them first.
SELECT upload_id, sha256, bytes, toString(encoding) AS encoding, rows, accepted, rejected, offsets
FROM uploads
WHERE head_sha256 = {head_sha256:String}
ORDER BY acknowledged_at
LIMIT 100
