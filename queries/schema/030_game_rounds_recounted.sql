-- Adds a column to tables of earlier releases that marks the rounds which the view leaves out.
ALTER TABLE game_rounds
    ADD COLUMN IF NOT EXISTS recounted Bool DEFAULT false COMMENT 'The round came back after a deletion or with a repair; its hour was recomputed from its rounds'
