-- The conflicts of an upload by line: each field as it was sent, and as it is stored. A row that is stored with the values that were
-- sent, as after a repair, is no longer a conflict. If there are many, both sides are sorted by key on disk, so that memory does not grow
-- with them. `fields` has the values of both sides: invalid UTF-8, which only other programs can have written, is repaired, and text that
-- begins with one of the characters in formula_starts gets an apostrophe. `stored_upload` and `stored_line` say where the stored row is from.
WITH (text -> if(text != '' AND position({formula_starts:String}, substringUTF8(text, 1, 1)) > 0, concat('\'', text), text)) AS escaped
SELECT
    sent.line AS line,
    /* fields */,
    toString(/* stored_upload */) AS stored_upload_id,
    /* stored_line */ AS stored_line
FROM (SELECT * FROM /* conflicts */ FINAL WHERE upload_id = {upload_id:UUID}) AS sent
INNER JOIN
(
    SELECT * FROM /* table */
    WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM /* conflicts */ WHERE upload_id = {upload_id:UUID})
    ORDER BY kafka_epoch, kafka_partition, kafka_offset
    LIMIT 1 BY /* each key: `$name` */
) AS stored ON /* each key and: sent.`$name` = stored.`$name` */
WHERE NOT (/* each field and: sent.`$name` <=> stored.`$name` */)
ORDER BY line, /* each key: sent.`$name` */
SETTINGS
    join_algorithm = 'full_sorting_merge',
    max_bytes_before_external_sort = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
