-- Stores the last key of the next {size} rows of the file. If there are fewer, it stores nothing: this is the last range.
INSERT INTO {ranges:Identifier}
SELECT {number:UInt64}, /* each key: `$name` */
FROM {rows:Identifier}
WHERE /* in range */
ORDER BY /* each key: `$name` */
LIMIT 1 OFFSET {offset:UInt64}
SETTINGS max_execution_time = 600
