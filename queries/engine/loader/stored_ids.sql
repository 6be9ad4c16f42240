-- Those of the given ids that are stored, as a bitmap. The ids replace the placeholder, as in stored_rounds.sql.
SELECT groupBitmapState(game_instance_id)
FROM game_rounds
WHERE game_instance_id IN
(
    SELECT arrayJoin(bitmapToArray(CAST(base64Decode('/* ids */') AS AggregateFunction(groupBitmap, UInt64))))
)
