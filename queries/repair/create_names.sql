-- The names that hours, players and games are to get, as create_values.sql has the values of rounds.
CREATE TABLE {names:Identifier}
(
    key           String,
    created_hour  DateTime('UTC'),
    user_id       String,
    game_id       UInt64,
    game_name     String,
    provider      String
)
ENGINE = Join(ANY, LEFT, key)
COMMENT 'Names that a repair gives to hours'
