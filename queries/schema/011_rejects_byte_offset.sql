-- Tables made by earlier releases lack where in its file a line begins.
ALTER TABLE rejects
    ADD COLUMN IF NOT EXISTS byte_offset UInt64 COMMENT 'Where in the uploaded file the line begins' AFTER line
