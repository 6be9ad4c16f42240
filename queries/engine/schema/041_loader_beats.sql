-- The beats of the holders of leases. Another server takes a topic over if it sees the same beat for some seconds, or at once if the lease
-- was released.
CREATE TABLE IF NOT EXISTS loader_beats
(
    generation  UInt32 COMMENT 'As in loader_leases',
    beat        UInt64 COMMENT 'Increases while the holder is alive',
    released    Bool COMMENT 'Whether the holder has stopped',
    beat_at     DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(beat)
ORDER BY generation
COMMENT 'Beats of the holders of leases'
