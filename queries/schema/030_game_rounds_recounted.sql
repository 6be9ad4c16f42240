-- Tables made by earlier releases lack which rounds the view leaves out.
ALTER TABLE game_rounds
    ADD COLUMN IF NOT EXISTS recounted Bool DEFAULT false COMMENT 'Came back after it was deleted, or with a repair: its hour was made the sum of its rounds'
