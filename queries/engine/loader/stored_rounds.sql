-- The values of the stored rounds with the given ids. Two placeholders are replaced: by the names of the columns, and by the ids as a
-- bitmap in base64, because a query parameter cannot be that long. The set of ids selects ranges of the primary key.
SELECT /* each field: `$name` */
FROM /* table */
WHERE /* key */ IN
(
    SELECT arrayJoin(bitmapToArray(CAST(base64Decode('/* ids */') AS AggregateFunction(groupBitmap, UInt64))))
)
