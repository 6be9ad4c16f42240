-- Lists all noted rows of an aggregate table.
INSERT INTO {removals:Identifier}
SELECT untuple(key)
FROM noted_keys
