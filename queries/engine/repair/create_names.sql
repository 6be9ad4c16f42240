-- The names that hours are to get. The table works like that of create_values.sql.
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
