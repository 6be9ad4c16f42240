-- Lists the rows that are to be removed.
INSERT INTO {removals:Identifier}
SELECT part, part_offset, /* each key: `$name` */
FROM plan_removals
