-- The blocks in a range of offsets whose messages have all been stored in a table.
SELECT first_offset, last_offset, rejects
FROM consumed_blocks
WHERE epoch = {epoch:UInt32} AND partition = {partition:UInt16}
    AND first_offset >= {first:UInt64} AND first_offset <= {last:UInt64}
    AND messages = last_offset - first_offset + 1
ORDER BY first_offset, last_offset
