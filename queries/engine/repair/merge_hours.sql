-- Merges all rows of each hour, player and game.
OPTIMIZE TABLE hourly_aggregates FINAL
