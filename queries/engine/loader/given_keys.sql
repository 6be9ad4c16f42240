-- Given keys of several columns: rows in RowBinary, in base64. The structure has names and types of the columns.
SELECT * FROM format(RowBinary, {structure:String}, base64Decode('/* keys */'))
