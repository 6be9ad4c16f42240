-- Adds to tables of earlier releases whether an epoch continues where the previous one ended: the same topic, with another loader.
ALTER TABLE loader_topics
    ADD COLUMN IF NOT EXISTS continues Bool DEFAULT false COMMENT 'Whether this is the same topic as in the previous epoch, with another loader' AFTER loader
