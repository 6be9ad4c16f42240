-- Those of the given keys that are stored, as in all_keys.sql. A placeholder is replaced by given_ids.sql or given_keys.sql.
SELECT /* each prefix: `$name`, */ groupBitmapState(toUInt64(`/* key */`))
FROM /* table */
WHERE (/* each key: `$name` */) IN
(
    /* given */
)
GROUP BY ALL
