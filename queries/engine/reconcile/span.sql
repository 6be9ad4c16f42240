-- How many different values the first column of the key has in the file.
SELECT `different keys` FROM {spans:Identifier}
