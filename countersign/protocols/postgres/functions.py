"""PostgreSQL's own functions, as reviewed for soundness of ``read``: those of versions 13 to 18 that SQL can call.

``HARMLESS`` was chosen by hand: whatever reads files, runs SQL given as text, writes, locks, waits, shows other sessions' statements or
samples of values, or changes settings is left out. ``VOLATILE_AND_HARMLESS`` says why some that PostgreSQL calls volatile are in it all the
same. ``REVIEWED`` says of the others what they do. What is in neither is unknown. Keywords with a syntax of their own (COALESCE, NULLIF,
CURRENT_DATE ...) are no functions: a call by such a name, in quotes, is of somebody's own function.
"""

from countersign.model import Effect

HARMLESS = frozenset(
    """
    abbrev abs aclcontains acldefault aclexplode acos acosd acosh age any_value area array_agg array_append array_cat array_dims
    array_fill array_length array_lower array_ndims array_position array_positions array_prepend array_remove array_replace
    array_reverse array_sample array_shuffle array_sort array_to_json array_to_string array_to_tsvector array_upper ascii asin
    asind asinh atan atan2 atan2d atand atanh avg bit bit_and bit_count bit_length bit_or bit_xor bool bool_and bool_or
    bound_box box bpchar btrim cardinality casefold cbrt ceil ceiling center char_length character_length chr cidr circle
    clock_timestamp col_description concat concat_ws convert convert_from convert_to corr cos cosd cosh cot cotd count covar_pop
    covar_samp crc32 crc32c cume_dist current_database current_query current_schema current_schemas current_setting current_user
    currval date date_add date_bin date_part date_subtract date_trunc datemultirange daterange decode degrees dense_rank
    diagonal diameter div encode enum_first enum_last enum_range erf erfc every exp extract factorial family first_value float4
    float8 floor format format_type gamma gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte
    getdatabaseencoding has_any_column_privilege has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege
    has_function_privilege has_language_privilege has_schema_privilege has_sequence_privilege has_server_privilege
    has_table_privilege has_tablespace_privilege has_type_privilege hashtext height host hostmask inet_client_addr
    inet_client_port inet_merge inet_same_family inet_server_addr inet_server_port initcap int2 int4 int4multirange int4range
    int8 int8multirange int8range interval is_normalized isclosed isempty isfinite ishorizontal isopen isparallel isperp
    isvertical json_agg json_agg_strict json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object json_object_agg
    json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_object_keys json_populate_record
    json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_to_tsvector json_typeof jsonb_agg
    jsonb_agg_strict jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict jsonb_object_keys jsonb_path_exists
    jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
    jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset
    jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof
    justify_days justify_hours justify_interval lag last_value lastval lcm lead left length lgamma like like_escape line ln log
    log10 lower lower_inc lower_inf lpad lseg ltrim macaddr8_set7bit make_date make_interval make_time make_timestamp
    make_timestamptz masklen max md5 min min_scale mod mode money multirange mxid_age netmask network normalize notlike now
    npoints nth_value ntile num_nonnulls num_nulls numeric nummultirange numnode numrange obj_description octet_length oid
    oidvectortypes overlaps overlay parse_ident path pclose percent_rank percentile_cont percentile_disc
    pg_available_extension_versions pg_available_extensions pg_backend_pid pg_basetype pg_char_to_encoding pg_client_encoding
    pg_collation_actual_version pg_collation_for pg_collation_is_visible pg_column_compression pg_column_is_updatable
    pg_column_size pg_column_toast_chunk_id pg_conf_load_time pg_conversion_is_visible pg_current_snapshot
    pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id_if_assigned
    pg_database_collation_actual_version pg_database_size pg_describe_object pg_encoding_max_length pg_encoding_to_char
    pg_extension_update_paths pg_filenode_relation pg_function_is_visible pg_get_acl pg_get_catalog_foreign_keys
    pg_get_constraintdef pg_get_expr pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
    pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_object_address
    pg_get_partition_constraintdef pg_get_partkeydef pg_get_publication_tables pg_get_replica_identity_index pg_get_ruledef
    pg_get_sequence_data pg_get_serial_sequence pg_get_statisticsobjdef pg_get_statisticsobjdef_columns
    pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_identify_object
    pg_identify_object_as_address pg_index_column_has_property pg_index_has_property pg_indexam_has_property
    pg_indexam_progress_phasename pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema pg_is_wal_replay_paused
    pg_jit_available pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_listening_channels pg_lsn
    pg_my_temp_schema pg_numa_available pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_options_to_table
    pg_partition_ancestors pg_partition_root pg_partition_tree pg_postmaster_start_time pg_relation_filenode
    pg_relation_filepath pg_relation_is_publishable pg_relation_is_updatable pg_relation_size pg_sequence_last_value
    pg_sequence_parameters pg_settings_get_flags pg_size_bytes pg_size_pretty pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin
    pg_stat_get_dead_tuples pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time pg_stat_get_last_autovacuum_time
    pg_stat_get_last_vacuum_time pg_stat_get_live_tuples pg_stat_get_numscans pg_stat_get_tuples_deleted
    pg_stat_get_tuples_fetched pg_stat_get_tuples_inserted pg_stat_get_tuples_returned pg_stat_get_tuples_updated
    pg_statistics_obj_is_visible pg_table_is_visible pg_table_size pg_tablespace_location pg_tablespace_size pg_timezone_abbrevs
    pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_timezone_names pg_total_relation_size pg_trigger_depth
    pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof
    pg_visible_in_snapshot pg_wal_lsn_diff pg_walfile_name pg_walfile_name_offset pg_xact_commit_timestamp phraseto_tsquery pi
    plainto_tsquery point polygon popen position pow power querytree quote_ident quote_literal quote_nullable radians radius
    random random_normal range_agg range_intersect_agg range_merge rank regexp_count regexp_instr regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse right round row_number
    row_security_active row_to_json rpad rtrim scale session_user set_bit set_byte set_masklen setweight sha224 sha256 sha384
    sha512 shobj_description sign similar_escape similar_to_escape sin sind sinh slope split_part sqrt starts_with
    statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip strpos substr substring
    sum system_user tan tand tanh text time timeofday timestamp timestamptz timetz timezone to_ascii to_bin to_char to_date
    to_hex to_json to_jsonb to_number to_oct to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc
    to_regprocedure to_regrole to_regtype to_regtypemod to_timestamp to_tsquery to_tsvector transaction_timestamp translate
    trim_array trim_scale trunc ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank ts_rank_cd ts_token_type tsmultirange
    tsquery_phrase tsrange tstzmultirange tstzrange tsvector_to_array txid_current_if_assigned txid_current_snapshot
    txid_snapshot_xip txid_snapshot_xmax txid_snapshot_xmin txid_visible_in_snapshot unicode_assigned unicode_version unistr
    unnest upper upper_inc upper_inf uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 var_pop var_samp varbit varchar
    variance version websearch_to_tsquery width width_bucket xid xml_is_well_formed xml_is_well_formed_content
    xml_is_well_formed_document xmlagg xmlcomment xmlconcat2 xmlexists xmltext xpath xpath_exists
    """.split()
)

SIZES = "measures what is on disk; volatile only for the size may change meanwhile"
VOLATILE_AND_HARMLESS = {
    "array_sample": "draws from the session's own random numbers",
    "array_shuffle": "draws from the session's own random numbers",
    "clock_timestamp": "tells the time",
    "current_query": "gives back the client's own text",
    "currval": "tells what nextval gave this session; moves nothing",
    "gen_random_uuid": "makes up a value",
    "lastval": "tells what nextval gave this session; moves nothing",
    "pg_collation_actual_version": "tells the version of a library",
    "pg_current_wal_flush_lsn": "tells a position",
    "pg_current_wal_insert_lsn": "tells a position",
    "pg_current_wal_lsn": "tells a position",
    "pg_database_collation_actual_version": "tells the version of a library",
    "pg_database_size": SIZES,
    "pg_get_sequence_data": "tells where a sequence stands; moves nothing (pg_dump)",
    "pg_indexes_size": SIZES,
    "pg_is_in_recovery": "tells whether the server is a standby",
    "pg_is_wal_replay_paused": "tells a state",
    "pg_jit_available": "tells whether a library can be loaded",
    "pg_last_wal_receive_lsn": "tells a position",
    "pg_last_wal_replay_lsn": "tells a position",
    "pg_last_xact_replay_timestamp": "tells a time",
    "pg_partition_ancestors": "lists relations from the catalog",
    "pg_partition_tree": "lists relations from the catalog",
    "pg_relation_size": SIZES,
    "pg_sequence_last_value": "tells where a sequence stands; moves nothing (psql)",
    "pg_table_size": SIZES,
    "pg_tablespace_size": SIZES,
    "pg_total_relation_size": SIZES,
    "pg_xact_commit_timestamp": "tells a time",
    "random": "draws from the session's own random numbers",
    "random_normal": "draws from the session's own random numbers",
    "timeofday": "tells the time",
    "uuidv4": "makes up a value",
    "uuidv7": "makes up a value",
}

SETS_SEQUENCE = "moves a sequence to where it is told"
TAKES_LOCK = "takes or gives back a lock that other sessions wait for"
TIDIES_INDEX = "tidies an index"
LASTING = (SETS_SEQUENCE, TAKES_LOCK, TIDIES_INDEX)
"""What a rollback does not take back. nextval is another: what it has given out stays used."""

ADMIN, EXEC, WRITE, SESSION, UNKNOWN = Effect.ADMIN, Effect.EXEC, Effect.WRITE, Effect.SESSION, Effect.UNKNOWN
_GROUPS: tuple[tuple[Effect, str, str], ...] = (
    (ADMIN, "reads files of the server", """
        pg_read_file pg_read_binary_file pg_read_file_old pg_stat_file pg_current_logfile pg_hba_file_rules pg_ident_file_mappings
        pg_show_all_file_settings pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system lo_import
        pg_available_wal_summaries pg_wal_summary_contents pg_get_wal_summarizer_state pg_config"""),
    (ADMIN, "lists files of the server", """
        pg_ls_dir pg_ls_archive_statusdir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir
        pg_ls_tmpdir pg_ls_waldir pg_logdir_ls pg_tablespace_databases pg_get_loaded_modules"""),
    (ADMIN, "writes files of the server", """
        lo_export pg_file_write pg_file_rename pg_file_unlink pg_file_sync pg_rotate_logfile pg_rotate_logfile_old pg_logfile_rotate
        pg_file_read pg_file_length"""),
    (EXEC, "runs SQL on another server", """
        dblink dblink_exec dblink_open dblink_fetch dblink_close dblink_send_query dblink_get_result dblink_connect dblink_connect_u
        dblink_disconnect dblink_cancel_query dblink_build_sql_insert dblink_build_sql_update dblink_build_sql_delete"""),
    (EXEC, "runs SQL that is given as text", """
        query_to_xml query_to_xmlschema query_to_xml_and_xmlschema ts_stat ts_rewrite xpath_table crosstab crosstab2 crosstab3 crosstab4
        crosstabn connectby cursor_to_xml cursor_to_xmlschema"""),
    (UNKNOWN, "reads relations that are given as text", """
        table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema
        database_to_xml database_to_xmlschema database_to_xml_and_xmlschema currtid2 currtid"""),
    (UNKNOWN, "casts to a type that is given as text, whose checks may run anything", "pg_input_is_valid pg_input_error_info"),
    (UNKNOWN, "keeps a connection busy", "pg_sleep pg_sleep_for pg_sleep_until"),
    (ADMIN, "ends or disturbs other sessions", """
        pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts pg_isolation_test_session_is_blocked
        pg_log_standby_snapshot"""),
    (ADMIN, "makes the server read its configuration again", "pg_reload_conf"),
    (ADMIN, "changes a setting, which can change what later commands mean or may do", "set_config"),
    (SESSION, "seeds the session's own random numbers", "setseed"),
    (SESSION, "gives back the session's own locks", "pg_advisory_unlock_all"),
    (SESSION, "concerns the session's own view of statistics", "pg_stat_clear_snapshot pg_stat_force_next_flush"),
    (WRITE, TAKES_LOCK, """
        pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
        pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_advisory_unlock
        pg_advisory_unlock_shared"""),
    (WRITE, "moves a sequence", "nextval"),
    (WRITE, SETS_SEQUENCE, "setval"),
    (WRITE, "sends a message to other sessions", "pg_notify"),
    (WRITE, "uses up a transaction id", "pg_current_xact_id txid_current"),
    (WRITE, "writes large objects", """
        lo_creat lo_create lo_from_bytea lo_put lo_truncate lo_truncate64 lo_unlink lowrite lo_open lo_close"""),
    (ADMIN, "reads large objects, which no masking sees", "lo_get loread lo_lseek lo_lseek64 lo_tell lo_tell64"),
    (WRITE, TIDIES_INDEX, "brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list"),
    (ADMIN, "writes to the write-ahead log", """
        pg_logical_emit_message pg_switch_wal pg_switch_xlog pg_create_restore_point pg_backup_start pg_backup_stop pg_start_backup
        pg_stop_backup pg_is_in_backup pg_backup_start_time"""),
    (ADMIN, "makes a standby the primary", "pg_promote"),
    (ADMIN, "stops or starts replay", "pg_wal_replay_pause pg_wal_replay_resume pg_get_wal_replay_pause_state"),
    (ADMIN, "keeps a snapshot that other sessions can take up, and hinders clean-up", "pg_export_snapshot"),
    (ADMIN, "concerns replication, and shows or moves changes of any table", """
        pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
        pg_create_physical_replication_slot pg_drop_replication_slot pg_replication_slot_advance pg_sync_replication_slots
        pg_logical_slot_get_changes pg_logical_slot_get_binary_changes pg_logical_slot_peek_changes
        pg_logical_slot_peek_binary_changes pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop
        pg_replication_origin_progress pg_replication_origin_session_is_setup pg_replication_origin_session_progress
        pg_replication_origin_session_reset pg_replication_origin_session_setup pg_replication_origin_xact_reset
        pg_replication_origin_xact_setup pg_show_replication_origin_status pg_replication_origin_oid pg_get_replication_slots"""),
    (ADMIN, "forgets or changes statistics", """
        pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot pg_stat_reset_shared
        pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
        pg_stat_reset_subscription_stats pg_stat_statements_reset pg_clear_attribute_stats pg_clear_relation_stats
        pg_restore_attribute_stats pg_restore_relation_stats"""),
    (ADMIN, "changes the catalog", """
        pg_import_system_collations pg_nextoid pg_extension_config_dump pg_stop_making_pinned_objects
        binary_upgrade_add_sub_rel_state binary_upgrade_create_empty_extension binary_upgrade_logical_slot_has_caught_up
        binary_upgrade_replorigin_advance binary_upgrade_set_missing_value binary_upgrade_set_next_array_pg_type_oid
        binary_upgrade_set_next_heap_pg_class_oid binary_upgrade_set_next_heap_relfilenode
        binary_upgrade_set_next_index_pg_class_oid binary_upgrade_set_next_index_relfilenode
        binary_upgrade_set_next_multirange_array_pg_type_oid binary_upgrade_set_next_multirange_pg_type_oid
        binary_upgrade_set_next_pg_authid_oid binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid
        binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
        binary_upgrade_set_next_toast_pg_type_oid binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs"""),
    (ADMIN, "shows what other sessions do", """
        pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_backend_client_addr pg_stat_get_backend_client_port
        pg_stat_get_backend_activity_start pg_stat_get_wal_senders pg_stat_get_wal_receiver pg_stat_get_subscription pg_stat_statements
        pg_lock_status pg_blocking_pids pg_safe_snapshot_blocking_pids pg_prepared_xact pg_stat_get_backend_io pg_stat_get_backend_wal
        pg_prepared_statement pg_cursor pg_get_multixact_members pg_last_committed_xact pg_xact_commit_timestamp_origin
        pg_xact_status txid_status pg_notification_queue_usage"""),
    (ADMIN, "shows the inside of the server", """
        pg_get_backend_memory_contexts pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_aios
        pg_get_wal_resource_managers pg_get_wait_events pg_stat_get_io pg_stat_get_recovery_prefetch pg_stat_have_stats
        pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls
        pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans
        pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated
        pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
        pg_stat_get_xact_tuples_updated"""),
    (UNKNOWN, "runs functions that are given as OIDs", "amvalidate plpgsql_validator fmgr_sql_validator fmgr_c_validator"),
    (UNKNOWN, "reads a value of a type that is given as an OID, whose checks may run anything", """
        domain_in domain_recv record_in record_recv array_in array_recv range_in range_recv multirange_in multirange_recv enum_in
        enum_recv"""),
    (ADMIN, "holds samples of users' data", "pg_mcv_list_items"),
    (ADMIN, "shows the settings of the server, those of superusers too", "pg_show_all_settings"),
)  # fmt: skip
REVIEWED: dict[str, tuple[Effect, str]] = {name: (effect, why) for effect, why, names in _GROUPS for name in names.split()}
"""What the others do, and why they are no reads."""

EXTENSIONS = frozenset(
    """
    citext hstore ltree pg_trgm uuid-ossp unaccent intarray cube seg isn btree_gin btree_gist fuzzystrmatch vector intagg
    bloom tsm_system_rows tsm_system_time
    """.split()
)
"""Extensions whose functions in C compute and nothing more. Only a superuser can make functions in C, so that nobody can slip another
one into them. Left out with care: dblink, postgres_fdw, tablefunc, xml2 and adminpack run SQL or touch files; pgcrypto, postgis and
pg_stat_statements have functions that do more than compute."""

EXTENSION_SETTERS = {"pg_trgm": frozenset({"set_limit"}), "isn": frozenset({"isn_weak"})}
"""Functions of these that change what later commands mean."""

EXTENSION_FUNCTIONS: dict[str, frozenset[str]] = {
    "pgcrypto": frozenset({"digest", "hmac", "gen_random_bytes", "gen_random_uuid", "crypt", "gen_salt"}),
}
"""Functions in C of extensions that are not reviewed as a whole."""

INFORMATION_SCHEMA = frozenset(
    """
    _pg_expandarray _pg_index_position _pg_truetypid _pg_truetypmod _pg_char_max_length _pg_char_octet_length _pg_numeric_precision
    _pg_numeric_precision_radix _pg_numeric_scale _pg_datetime_precision _pg_interval_type
    """.split()
)
"""The functions that initdb puts into information_schema; JDBC calls them. They are SQL over the catalog."""

SILENT = frozenset(
    """
    currval lastval nextval setval pg_sleep pg_sleep_for pg_sleep_until set_config pg_notify pg_terminate_backend pg_cancel_backend
    pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
    pg_try_advisory_xact_lock_shared pg_current_xact_id pg_current_xact_id_if_assigned pg_export_snapshot txid_current
    txid_current_if_assigned txid_current_snapshot lo_create lo_creat lo_close lo_open lo_lseek lo_lseek64 lo_tell lo_tell64 lo_get
    loread lo_truncate lo_truncate64 lo_unlink lowrite lo_put lo_from_bytea pg_reload_conf pg_stat_clear_snapshot pg_listening_channels
    pg_blocking_pids pg_isolation_test_session_is_blocked pg_is_wal_replay_paused pg_current_wal_lsn pg_last_wal_replay_lsn
    """.split()
)
"""Built-in functions that are not harmless and yet answer nothing out of users' tables, so that masking need not fear their values. A
large object is no column either: mask rules do not name it, and it is read by FunctionCall just the same (``answers``)."""
