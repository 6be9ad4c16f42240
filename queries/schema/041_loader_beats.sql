-- The signs of life of who holds a lease. Another server takes the topic over when it sees the same beat for some seconds, or at once
-- when the lease was released.
CREATE TABLE IF NOT EXISTS loader_beats
(
    generation  UInt32 COMMENT 'As in loader_leases',
    beat        UInt64 COMMENT 'Grows while the holder lives',
    released    Bool COMMENT 'The holder has stopped',
    beat_at     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(beat)
ORDER BY generation
COMMENT 'Signs of life of the holders of leases'
