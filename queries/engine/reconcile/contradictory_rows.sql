-- The file's contradictory rows of a range of keys, as a view may read them.
(
    SELECT /* each field: `$name`, */ false AS recounted
    FROM {rows:Identifier}
    WHERE /* in range */ AND `file line` IN
    (
        SELECT line FROM {outcomes:Identifier}
        WHERE /* in range */ AND kind = 'contradictory_in_file'
    )
)
