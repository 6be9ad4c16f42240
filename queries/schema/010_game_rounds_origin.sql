-- Adds upload and line to tables of earlier releases.
ALTER TABLE game_rounds
    ADD COLUMN IF NOT EXISTS upload_id Nullable(UUID) COMMENT 'The upload that produced the round; null if it was not an upload' AFTER provider,
    ADD COLUMN IF NOT EXISTS line Nullable(UInt64) COMMENT 'Line in the uploaded file' CODEC(Delta, ZSTD(1)) AFTER upload_id
