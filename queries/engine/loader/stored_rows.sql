-- Keys and values of the stored rows with the given keys. A placeholder is replaced by given_ids.sql or given_keys.sql; the set of keys
-- selects ranges of the primary key.
SELECT /* each prefix: `$name`, */ toUInt64(`/* key */`), /* each field: `$name` */
FROM /* table */
WHERE (/* each key: `$name` */) IN
(
    /* given */
)
