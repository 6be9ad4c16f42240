-- The stored rows of a range of keys that have contradictory rows in the file, as a view may read them.
(
    SELECT * REPLACE (false AS recounted)
    FROM /* table */
    WHERE /* in range */ AND (/* each key: `$name` */) IN
    (
        SELECT /* each key: `$name` */ FROM {outcomes:Identifier}
        WHERE /* in range */ AND kind = 'contradictory_in_file'
    )
)
