-- Adds settings for the projections to tables of earlier releases: projections are rebuilt in each merge, like the rows. The whole key is
-- kept in memory, even where its first column alone almost identifies the granule, because a player may have very many rows.
ALTER TABLE hourly_aggregates
    MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild', primary_key_ratio_of_unique_prefix_values_to_skip_suffix_columns = 1
