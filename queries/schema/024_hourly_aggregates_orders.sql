-- Tables made by earlier releases lack what the projections need: they are made anew in each merge, as the rows are. The whole of
-- the key is kept in memory, also where its first column alone nearly tells the granule: a player may have very many rows.
ALTER TABLE hourly_aggregates
    MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild', primary_key_ratio_of_unique_prefix_values_to_skip_suffix_columns = 1
