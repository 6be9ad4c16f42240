-- Merges all rows of each key of an aggregate table.
OPTIMIZE TABLE /* aggregate */ FINAL
