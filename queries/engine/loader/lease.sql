-- The last lease of a topic, its state, and the number for the next lease of any topic. Generation 0 if the topic never had a lease.
SELECT
    toUInt32(assumeNotNull((SELECT max(generation) + 1 FROM loader_leases))) AS next,
    last.generation AS generation,
    last.owner AS owner,
    last.process AS process,
    beats.beat AS beat,
    beats.released AS released
FROM
(
    SELECT
        max(generation) AS generation,
        argMax(owner, loader_leases.generation) AS owner,
        argMax(process, loader_leases.generation) AS process
    FROM loader_leases
    WHERE topic = {topic:String}
) AS last
LEFT JOIN
(
    SELECT generation, max(beat) AS beat, max(released) AS released
    FROM loader_beats
    WHERE generation = (SELECT max(generation) FROM loader_leases WHERE topic = {topic:String})
    GROUP BY generation
) AS beats ON last.generation = beats.generation
SETTINGS join_use_nulls = 0
