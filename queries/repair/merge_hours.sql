-- Adds up what there is of each hour, player and game.
OPTIMIZE TABLE hourly_aggregates FINAL
