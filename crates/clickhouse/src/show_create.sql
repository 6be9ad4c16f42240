-- The definition of a table of the database system, which the library keeps no text of.
SELECT concat(
    'CREATE TABLE system.', t.name, '\n(\n',
    (
        SELECT arrayStringConcat(groupArray(line), ',\n')
        FROM
        (
            SELECT concat(
                '    `', name, '` ', type,
                if(default_kind = '', '', concat(' ', default_kind, ' ', default_expression)),
                if(comment = '', '', concat(' COMMENT \'', replaceAll(replaceAll(comment, '\\', '\\\\'), '\'', '\\\''), '\''))
            ) AS line
            FROM system.columns
            WHERE database = 'system' AND table = @TABLE@
            ORDER BY position
        )
    ),
    '\n)\nENGINE = ', t.engine,
    if(t.comment = '', '', concat('\nCOMMENT \'', replaceAll(replaceAll(t.comment, '\\', '\\\\'), '\'', '\\\''), '\''))
) AS statement
FROM system.tables AS t
WHERE t.database = 'system' AND t.name = @TABLE@
