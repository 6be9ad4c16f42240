-- Tables made by earlier releases lack the upload and the line.
ALTER TABLE game_rounds
    ADD COLUMN IF NOT EXISTS upload_id Nullable(UUID) COMMENT 'The upload that it came with; null: produced by something else' AFTER provider,
    ADD COLUMN IF NOT EXISTS line Nullable(UInt64) COMMENT 'In the uploaded file' CODEC(Delta, ZSTD(1)) AFTER upload_id
