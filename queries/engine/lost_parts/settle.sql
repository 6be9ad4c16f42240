-- Records that the rows of a broken part are restored.
INSERT INTO settled_parts (table, table_uuid, part) SELECT {table:String}, {table_uuid:UUID}, {part:String}
