-- The ids of all stored rounds, as a bitmap.
SELECT groupBitmapState(/* key */) FROM /* table */
