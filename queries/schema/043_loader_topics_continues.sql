-- Tables of earlier releases lack which epochs go on where the one before ended: the topic is the same, its loader is another one.
ALTER TABLE loader_topics
    ADD COLUMN IF NOT EXISTS continues Bool DEFAULT false COMMENT 'It is the same topic as in the epoch before, with another loader' AFTER loader
