-- Given keys of one column: a bitmap in base64, because a query parameter cannot be that long.
SELECT arrayJoin(bitmapToArray(CAST(base64Decode('/* keys */') AS AggregateFunction(groupBitmap, UInt64))))
