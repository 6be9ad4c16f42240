-- The values of the rounds that are stored under some ids. Two marks are replaced: by the names of the columns, and by the ids
-- as a bitmap in base64, since a parameter of a query may not be as long. The set of ids selects ranges of the primary key.
SELECT /* columns */
FROM game_rounds
WHERE game_instance_id IN
(
    SELECT arrayJoin(bitmapToArray(CAST(base64Decode('/* ids */') AS AggregateFunction(groupBitmap, UInt64))))
)
