-- The stored rows of a range of keys that are not in the file, as a view may read them.
(
    SELECT * REPLACE (false AS recounted)
    FROM /* table */
    WHERE /* in range */ AND (/* each key: `$name` */) NOT IN
    (
        SELECT /* each key: `$name` */ FROM {rows:Identifier}
        WHERE /* in range */
    )
)
