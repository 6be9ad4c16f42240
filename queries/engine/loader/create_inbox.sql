-- The loader inserts into a table through this inbox. It stores nothing: the view passes each block on (create_inbox_view.sql).
CREATE TABLE IF NOT EXISTS /* inbox */
ENGINE = Null
EMPTY AS SELECT /* columns */, toUInt32(0) AS generation FROM /* table */
