SELECT
    toString(sum(read_rows)), toString(sum(read_bytes)), toString(sum(written_rows)), toString(sum(written_bytes)),
    toString(sum(total_rows_approx)), toString(toUInt64(max(elapsed) * 1000000000)), count()
FROM system.processes
WHERE @TAG@
