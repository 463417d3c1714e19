"""Built-in functions, types and relations, as reviewed for soundness of ``read``.

``HARMLESS`` was chosen by hand from ``pg_proc`` of PostgreSQL 16 and 18 (schema pg_catalog, volatility immutable or stable, callable
from SQL), leaving out whatever reads files, runs SQL given as text, writes, locks, waits, shows other sessions' statements or samples of
values, or changes settings. What is not on the list is unknown. ``REFUSED`` says of the notable absentees why.
"""

HARMLESS = frozenset(
    """
    abs aclcontains acldefault aclexplode acos acosd acosh age area array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims
    array_position array_positions array_prepend array_remove array_replace array_reverse array_sort array_to_json
    array_to_string array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avg any_value bit_and bit_count bit_length
    bit_or bit_xor bool_and bool_or bound_box box btrim cardinality casefold cbrt ceil ceiling center char_length
    character_length chr circle clock_timestamp coalesce col_description concat concat_ws convert convert_from convert_to corr
    cos cosd cosh cot cotd count covar_pop covar_samp crc32 crc32c cume_dist current_catalog current_database current_date
    current_role current_schema current_schemas current_setting current_user date date_add date_bin date_part date_subtract
    date_trunc datemultirange daterange decode degrees dense_rank diagonal diameter div encode enum_first enum_last enum_range
    every exp extract factorial family first_value floor format format_type gcd gen_random_uuid generate_series
    generate_subscripts get_bit get_byte getdatabaseencoding greatest has_any_column_privilege has_column_privilege
    has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege has_schema_privilege
    has_sequence_privilege has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege hashtext height
    host hostmask inet_client_addr inet_client_port inet_merge inet_same_family inet_server_addr inet_server_port initcap
    int4multirange int4range int8multirange int8range interval isempty isfinite json_agg json_agg_strict json_array_elements
    json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
    json_extract_path_text json_object json_object_agg json_object_agg_strict json_object_agg_unique json_object_keys
    json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_agg
    jsonb_agg_strict jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set
    jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval
    lag last_value lcm lead least left length like_escape ln localtime localtimestamp log log10 lower lower_inc lower_inf lpad
    ltrim macaddr8_set7bit make_date make_interval make_time make_timestamp make_timestamptz masklen max md5 min min_scale mod
    mode multirange netmask network normalize now nth_value ntile nullif num_nonnulls num_nulls numeric nummultirange numnode
    numrange obj_description octet_length overlaps overlay parse_ident path percent_rank percentile_cont percentile_disc
    pg_backend_pid pg_char_to_encoding pg_client_encoding pg_collation_for pg_collation_is_visible pg_column_size
    pg_conversion_is_visible pg_current_snapshot pg_database_size pg_describe_object pg_encoding_to_char pg_function_is_visible
    pg_get_constraintdef pg_get_expr pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
    pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords
    pg_get_partition_constraintdef pg_get_partkeydef pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef
    pg_get_statisticsobjdef_columns pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_identify_object
    pg_index_column_has_property pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema pg_my_temp_schema
    pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors
    pg_partition_root pg_partition_tree pg_postmaster_start_time pg_relation_is_publishable pg_relation_size pg_size_bytes
    pg_size_pretty pg_statistics_obj_is_visible pg_table_is_visible pg_table_size pg_tablespace_location pg_tablespace_size
    pg_timezone_abbrevs pg_timezone_names pg_total_relation_size pg_ts_config_is_visible pg_ts_dict_is_visible
    pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof phraseto_tsquery pi plainto_tsquery point
    polygon popen position pow power querytree quote_ident quote_literal quote_nullable radians radius random range_agg
    range_intersect_agg range_merge rank regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope
    regr_sxx regr_sxy regr_syy repeat replace reverse right round row_number row_to_json rpad rtrim scale session_user set_bit
    set_byte set_masklen setweight sha224 sha256 sha384 sha512 shobj_description sign similar_to_escape sin sind sinh split_part
    sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip strpos
    substr substring sum system_user tan tand tanh text timeofday timezone to_ascii to_bin to_char to_date to_hex to_json
    to_jsonb to_number to_oct to_regclass to_regcollation to_regnamespace to_regoper to_regproc to_regprocedure to_regrole
    to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim trim_array trim_scale trunc ts_delete
    ts_filter ts_headline ts_rank ts_rank_cd tsmultirange tsquery_phrase tsrange tstzmultirange tstzrange tsvector_to_array
    unistr unnest upper upper_inc upper_inf uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 var_pop var_samp variance
    version websearch_to_tsquery width width_bucket xml_is_well_formed xmlagg xmlcomment xpath xpath_exists btrim ltrim rtrim
    like notlike is_normalized
    """.split()
)

REFUSED = {
    "pg_sleep": "keeps a connection busy",
    "pg_sleep_for": "keeps a connection busy",
    "pg_sleep_until": "keeps a connection busy",
    "set_config": "changes settings of the session",
    "nextval": "moves a sequence",
    "setval": "moves a sequence",
    "pg_notify": "sends a message to other sessions",
    "pg_terminate_backend": "ends other sessions",
    "pg_cancel_backend": "cancels other sessions' statements",
    "pg_read_file": "reads files of the server",
    "pg_read_binary_file": "reads files of the server",
    "pg_ls_dir": "lists files of the server",
    "pg_stat_file": "looks at files of the server",
    "lo_import": "reads files of the server",
    "lo_export": "writes files of the server",
    "lo_get": "reads large objects, which no masking sees",
    "dblink": "runs SQL on another server",
    "dblink_exec": "runs SQL on another server",
    "query_to_xml": "runs SQL that is given as text",
    "query_to_xmlschema": "runs SQL that is given as text",
    "table_to_xml": "reads a relation that is given as text",
    "cursor_to_xml": "reads a cursor",
    "database_to_xml": "reads the whole database",
    "schema_to_xml": "reads a whole schema",
    "ts_stat": "runs SQL that is given as text",
    "ts_rewrite": "may run SQL that is given as text",
    "pg_advisory_lock": "takes a lock",
    "pg_advisory_xact_lock": "takes a lock",
    "pg_try_advisory_lock": "takes a lock",
    "pg_reload_conf": "makes the server read its configuration again",
    "pg_stat_get_activity": "shows other sessions' statements",
    "pg_current_xact_id": "uses up a transaction id",
    "txid_current": "uses up a transaction id",
}

SILENT = frozenset(
    """
    currval lastval nextval setval pg_sleep pg_sleep_for pg_sleep_until set_config pg_notify pg_terminate_backend pg_cancel_backend
    pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
    pg_try_advisory_xact_lock_shared pg_current_xact_id pg_current_xact_id_if_assigned pg_export_snapshot txid_current
    txid_current_if_assigned txid_current_snapshot lo_create lo_creat lo_close lo_open lo_lseek lo_lseek64 lo_tell lo_tell64
    lo_truncate lo_truncate64 lo_unlink lowrite lo_put lo_from_bytea pg_reload_conf pg_stat_clear_snapshot pg_listening_channels
    pg_blocking_pids pg_isolation_test_session_is_blocked pg_is_wal_replay_paused pg_current_wal_lsn pg_last_wal_replay_lsn
    """.split()
)
"""Built-in functions that are not harmless and yet answer nothing out of users' tables, so that masking need not fear their values."""

TYPES = frozenset(
    """
    bool boolean bpchar bit box bytea char character cid cidr circle date daterange datemultirange decimal float float4 float8
    inet int int2 int4 int8 int4range int8range int4multirange int8multirange integer interval json jsonb jsonpath line lseg
    macaddr macaddr8 money name numeric numrange nummultirange oid oidvector int2vector path pg_lsn point polygon real record
    regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype serial
    smallint text tid time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector unknown
    uuid varbit varchar xid xid8 xml aclitem bigint
    """.split()
)
"""Built-in types: a cast to one runs nothing of a user's. Any other may be a domain, whose CHECK may call anything."""

SENSITIVE_RELATIONS = {
    "pg_stats": "holds samples of users' data",
    "pg_statistic": "holds samples of users' data",
    "pg_stats_ext": "holds samples of users' data",
    "pg_stats_ext_exprs": "holds samples of users' data",
    "pg_statistic_ext_data": "holds samples of users' data",
    "pg_stat_activity": "shows other sessions' statements",
    "pg_stat_statements": "shows other sessions' statements",
    "pg_prepared_statements": "shows statements of a pooled session",
    "pg_cursors": "shows statements of a pooled session",
    "pg_authid": "holds password verifiers",
    "pg_shadow": "holds password verifiers",
    "pg_user_mapping": "may hold passwords of other servers",
    "pg_user_mappings": "may hold passwords of other servers",
    "pg_subscription": "may hold passwords of other servers",
    "pg_hba_file_rules": "reads files of the server",
    "pg_ident_file_mappings": "reads files of the server",
    "pg_file_settings": "reads files of the server",
    "pg_largeobject": "holds large objects, which no masking sees",
}

HARMLESS_SETTINGS = frozenset(
    """
    application_name timezone datestyle intervalstyle extra_float_digits client_min_messages bytea_output statement_timeout
    lock_timeout idle_in_transaction_session_timeout transaction_isolation transaction_read_only transaction_deferrable
    default_transaction_read_only default_transaction_isolation jit geqo
    """.split()
)
"""Settings that change how answers look or how long a command may take, never what it means or may do."""
