-- Adds the position of a line in its file to tables of earlier releases.
ALTER TABLE rejects
    ADD COLUMN IF NOT EXISTS byte_offset UInt64 COMMENT 'Byte offset of the line in the uploaded file' AFTER line
