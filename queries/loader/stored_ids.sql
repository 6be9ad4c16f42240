-- Those of some ids that are stored, as a bitmap. The mark is replaced by the ids, as in stored_rounds.sql.
SELECT groupBitmapState(game_instance_id)
FROM game_rounds
WHERE game_instance_id IN
(
    SELECT arrayJoin(bitmapToArray(CAST(base64Decode('/* ids */') AS AggregateFunction(groupBitmap, UInt64))))
)
