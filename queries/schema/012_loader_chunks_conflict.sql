-- Tables made by earlier releases lack the conflicts, which they took for duplicates.
ALTER TABLE loader_chunks
    ADD COLUMN IF NOT EXISTS conflict UInt64 COMMENT 'Of a round that was there already with other values: in conflicts' AFTER duplicate
