-- The differences of a job in a range of kinds. Values are text, in the order of the columns. Stored text that is not UTF-8, which only
-- other programs write, gets replacement characters.
SELECT
    toInt8(d.kind) AS kind,
    d.line AS line,
    [/* each key: toValidUTF8(toString(d.`$name`)) */]::Array(String) AS key,
    [/* each value: toValidUTF8(toString(d.`file_$name`)) */]::Array(Nullable(String)) AS file,
    [/* each value: toValidUTF8(toString(d.`stored_$name`)) */]::Array(Nullable(String)) AS stored,
    toString(d.stored_upload_id) AS upload_id,
    d.stored_line AS upload_line,
    toString(/* aggregate table */) AS aggregate,
    [/* each all_group: toValidUTF8(toString(d.`$name`)) */]::Array(Nullable(String)) AS groups,
    [/* each all_expected: toString(d.`$name`) */]::Array(Nullable(String)) AS expected,
    [/* each all_aggregated: toString(d.`$name`) */]::Array(Nullable(String)) AS aggregated
FROM /* differences */ AS d
WHERE d.job_id = {job:UUID} AND d.attempt = {attempt:UUID} AND d.kind BETWEEN {first_kind:Int8} AND {last_kind:Int8}
