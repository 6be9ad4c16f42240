-- Adds conflicts to tables of earlier releases, which counted them as duplicates.
ALTER TABLE loader_chunks
    ADD COLUMN IF NOT EXISTS conflict UInt64 COMMENT 'Messages of rounds that were already stored with other values; see conflicts' AFTER duplicate
