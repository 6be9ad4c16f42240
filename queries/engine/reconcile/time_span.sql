-- The first and the last hour of the file, in seconds since 1970.
SELECT toUnixTimestamp(min(created_hour)) AS first_hour, toUnixTimestamp(max(created_hour)) AS last_hour
FROM {hours:Identifier}
WHERE source = 'file'
