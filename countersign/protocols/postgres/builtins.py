"""PostgreSQL's own operators, types, relations and settings, as reviewed for soundness of ``read``."""

OPERATORS = frozenset(
    """
    = <> != < > <= >= + - * / % ^ || ~~ ~~* !~~ !~~* ~ ~* !~ !~* & | # << >> -> ->> #> #>> #- @> <@ ? ?| ?& && @@ @@@ @? -|- &<
    &> <-> |/ ||/ @ ~= ^@ ## <<| |>> &<| |&> <^ >^ ?# ?- ?-| ?|| <<= >>= !! @-@ ~<=~ ~>=~ ~<~ ~>~ *= *<> *< *> *<= *>= !~~ ~~
    """.split()
)
"""PostgreSQL's own operators compute and nothing more."""

WORDS = frozenset({"BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"})
"""What the grammar calls an operator and is a keyword."""

TYPES = frozenset(
    """
    bool bpchar bit box bytea char cid cidr circle date daterange datemultirange float4 float8
    inet int2 int4 int8 int4range int8range int4multirange int8multirange interval json jsonb jsonpath line lseg
    macaddr macaddr8 money name numeric numrange nummultirange oid oidvector int2vector path pg_lsn pg_snapshot point polygon
    record refcursor regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole
    regtype text tid time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector
    txid_snapshot unknown uuid varbit varchar xid xid8 xml aclitem pg_node_tree pg_ndistinct pg_dependencies
    """.split()
)
"""Built-in types, by their names in pg_type: a cast to one runs nothing of a user's. Any other may be a domain, whose CHECK may call
anything. Keywords (``integer``, ``character varying``) are not here: the grammar turns them into these, and writes a type that is named
like one in quotes as it stands, for that is somebody's own."""

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
    "user_mapping_options": "may hold passwords of other servers",
    "_pg_user_mappings": "may hold passwords of other servers",
    "pg_subscription": "may hold passwords of other servers",
    "pg_stat_wal_receiver": "shows how to reach the primary",
    "pg_hba_file_rules": "reads files of the server",
    "pg_ident_file_mappings": "reads files of the server",
    "pg_file_settings": "reads files of the server",
    "pg_config": "shows how the server was built",
    "pg_largeobject": "holds large objects, which no masking sees",
    "pg_backend_memory_contexts": "shows the inside of the server",
    "pg_shmem_allocations": "shows the inside of the server",
    "pg_shmem_allocations_numa": "shows the inside of the server",
    "pg_aios": "shows the inside of the server",
    "pg_prepared_xacts": "shows transactions of other sessions",
}

TOAST_SCHEMA = "pg_toast"
"""Holds pieces of other relations' values, masked ones too."""

HARMLESS_SETTINGS = frozenset(
    """
    application_name timezone datestyle intervalstyle extra_float_digits client_min_messages bytea_output statement_timeout
    lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout transaction_isolation
    transaction_read_only transaction_deferrable default_transaction_read_only default_transaction_isolation
    default_transaction_deferrable geqo lc_monetary lc_numeric lc_time synchronize_seqscans row_security quote_all_identifiers
    cursor_tuple_fraction plan_cache_mode random_page_cost seq_page_cost effective_cache_size constraint_exclusion
    jit jit_above_cost jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming
    """.split()
)
"""Settings that change how answers look or how long a command may take, never what it means or may do. ``row_security`` off makes
the server refuse what row security would filter; it never shows more."""

HARMLESS_PREFIXES = ("enable_", "tcp_", "parallel_", "min_parallel_")
"""Settings of the planner and of the connection. Not all that begin with ``jit``: one writes files."""

SECRET_SETTINGS = frozenset(
    """
    primary_conninfo ssl_passphrase_command archive_command restore_command archive_cleanup_command recovery_end_command
    """.split()
)
"""Settings that may hold a password. The server shows them to superusers and their like only; the gateway's role may be one."""
