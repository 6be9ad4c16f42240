-- The rows of the file that are still missing, with the values that go into JSON. JSON has both null and the empty text.
SELECT /* each field: `$name` */
FROM
(
    SELECT line AS line_of_file, /* each key: `$name`, */ /* each value: `file_$name` AS `$name` */
    FROM plan_missing
)
ORDER BY line_of_file
