-- Those of the given ids that are stored, as a bitmap. The ids replace the placeholder, as in stored_rounds.sql.
SELECT groupBitmapState(/* key */)
FROM /* table */
WHERE /* key */ IN
(
    SELECT arrayJoin(bitmapToArray(CAST(base64Decode('/* ids */') AS AggregateFunction(groupBitmap, UInt64))))
)
