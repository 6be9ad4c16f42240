-- Takes the file's values of the rows of a range of lines that are to be overwritten.
INSERT INTO {values:Identifier} (/* each key: `$name`, */ /* each required: `$name`, */ /* each optional: `$name`, */ repair_key)
SELECT
    /* each key: `$name`, */
    /* each required: assumeNotNull(`file_$name`), */
    /* each optional: `file_$name`, */
    toString(tuple(/* each key: `$name` */))
FROM plan_rows
WHERE is_overwritten
