-- What runs, as clients know it. The engine has ids of its own, and a setting holds the id of the client.
CREATE VIEW system.processes_with_engine_ids AS
SELECT
    * REPLACE (
        if(p.Settings['query_cache_tag'] = '', p.query_id, substring(p.Settings['query_cache_tag'], 5)) AS query_id,
        if(p.Settings['query_cache_tag'] = '', p.initial_query_id, substring(p.Settings['query_cache_tag'], 5)) AS initial_query_id,
        if(startsWith(p.Settings['query_cache_tag'], 'own/'), '@OWN_USER@', p.user) AS user,
        if(startsWith(p.Settings['query_cache_tag'], 'own/'), '@OWN_USER@', p.initial_user) AS initial_user,
        mapFilter((name, _) -> name != 'query_cache_tag', p.Settings) AS Settings,
        replaceAll(
            replaceRegexpOne(p.query, ' INTO OUTFILE \'/dev/fd/[0-9]+\' APPEND COMPRESSION \'none\' ', ''),
            'processes_of_clients',
            'processes'
        ) AS query
    ),
    p.query_id AS engine_query_id,
    startsWith(p.Settings['query_cache_tag'], 'own/') AS is_own
FROM system.processes AS p;

-- The same with the columns of system.processes, in whose place statements read it.
CREATE VIEW system.processes_of_clients AS
SELECT * EXCEPT (engine_query_id, is_own)
FROM system.processes_with_engine_ids
