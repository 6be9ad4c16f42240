-- The file's rows of a range of keys, as a view may read them, without those of the given outcomes.
(
    SELECT /* each field: `$name`, */ false AS recounted
    FROM {rows:Identifier}
    WHERE /* in range */ AND `file line` NOT IN
    (
        SELECT line FROM {outcomes:Identifier}
        WHERE /* in range */ AND kind IN ('duplicate_in_file', 'contradictory_in_file')
    )
)
