-- Keeps the rows of an aggregate table whose sums still differ, for another attempt.
INSERT INTO /* differences */
(
    job_id, attempt, kind, line,
    /* each label: `$name`, */
    /* each difference_group: `$name`, */
    /* each expected: `$name`, */
    /* each aggregated: `$name`, */
    found_at
)
SELECT
    {job:UUID}, {next_attempt:UUID}, 5, 0,
    /* each label: '$(aggregate)', */
    /* each group: `$name`, */
    /* each sum: `made_$name`, */
    /* each sum: `held_$name`, */
    now()
FROM plan_comparison
WHERE /* each sum or: `made_$name` != `held_$name` */
