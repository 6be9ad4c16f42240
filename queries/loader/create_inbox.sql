-- What the loader sends to a table goes through here. Nothing is stored: the view passes each block on (create_inbox_view.sql).
CREATE TABLE IF NOT EXISTS /* inbox */
ENGINE = Null
EMPTY AS SELECT /* columns */, toUInt32(0) AS generation FROM /* table */
