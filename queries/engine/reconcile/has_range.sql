-- Whether the end of a range is stored.
SELECT toBool(count() > 0) FROM {ranges:Identifier} WHERE `range number` = {number:UInt64}
