"""Every command of PostgreSQL 18 that is no query, by its node in the grammar: what it is called and what it can do, and why."""

from countersign.model import Effect

DDL, ADMIN, EXEC, WRITE = Effect.DDL, Effect.ADMIN, Effect.EXEC, Effect.WRITE
READ, SESSION, UNKNOWN = Effect.READ, Effect.SESSION, Effect.UNKNOWN

SCHEMA = "changes the schema"
CODE = "makes or names code that later commands run"
SERVER = "concerns the whole server"
RIGHTS = "changes who may do what"
REMOTE = "reaches another server"

_TABLE: tuple[tuple[str, str, tuple[Effect, ...], str], ...] = (
    ("create_stmt", "CREATE TABLE", (DDL,), SCHEMA),
    ("index_stmt", "CREATE INDEX", (DDL,), SCHEMA),
    ("view_stmt", "CREATE VIEW", (DDL,), SCHEMA),
    ("create_schema_stmt", "CREATE SCHEMA", (DDL,), SCHEMA),
    ("create_seq_stmt", "CREATE SEQUENCE", (DDL,), SCHEMA),
    ("alter_seq_stmt", "ALTER SEQUENCE", (DDL,), SCHEMA),
    ("create_domain_stmt", "CREATE DOMAIN", (DDL,), SCHEMA),
    ("alter_domain_stmt", "ALTER DOMAIN", (DDL,), SCHEMA),
    ("create_enum_stmt", "CREATE TYPE", (DDL,), SCHEMA),
    ("create_range_stmt", "CREATE TYPE", (DDL, EXEC), CODE),
    ("composite_type_stmt", "CREATE TYPE", (DDL,), SCHEMA),
    ("alter_enum_stmt", "ALTER TYPE", (DDL,), SCHEMA),
    ("alter_type_stmt", "ALTER TYPE", (DDL, EXEC), CODE),
    ("define_stmt", "CREATE", (DDL, EXEC), CODE),
    ("alter_table_stmt", "ALTER TABLE", (DDL,), SCHEMA),
    ("replica_identity_stmt", "ALTER TABLE", (DDL,), SCHEMA),
    ("alter_collation_stmt", "ALTER COLLATION", (DDL,), SCHEMA),
    ("alter_operator_stmt", "ALTER OPERATOR", (DDL, EXEC), CODE),
    ("alter_op_family_stmt", "ALTER OPERATOR FAMILY", (DDL, EXEC), CODE),
    ("create_op_class_stmt", "CREATE OPERATOR CLASS", (DDL, EXEC), CODE),
    ("create_op_family_stmt", "CREATE OPERATOR FAMILY", (DDL, EXEC), CODE),
    ("alter_stats_stmt", "ALTER STATISTICS", (DDL,), SCHEMA),
    ("create_stats_stmt", "CREATE STATISTICS", (DDL,), SCHEMA),
    ("alter_tsdictionary_stmt", "ALTER TEXT SEARCH DICTIONARY", (DDL,), SCHEMA),
    ("alter_tsconfiguration_stmt", "ALTER TEXT SEARCH CONFIGURATION", (DDL,), SCHEMA),
    ("alter_object_depends_stmt", "ALTER ... DEPENDS ON EXTENSION", (DDL,), SCHEMA),
    ("alter_object_schema_stmt", "ALTER ... SET SCHEMA", (DDL,), SCHEMA),
    ("rename_stmt", "ALTER ... RENAME", (DDL,), SCHEMA),
    ("drop_stmt", "DROP", (DDL,), SCHEMA),
    ("comment_stmt", "COMMENT", (DDL,), SCHEMA),
    ("refresh_mat_view_stmt", "REFRESH MATERIALIZED VIEW", (DDL, WRITE), "runs the view's query and replaces its rows"),
    ("truncate_stmt", "TRUNCATE", (WRITE, DDL), "empties whole tables"),
    ("create_trig_stmt", "CREATE TRIGGER", (DDL, EXEC), CODE),
    ("create_event_trig_stmt", "CREATE EVENT TRIGGER", (DDL, EXEC, ADMIN), CODE),
    ("alter_event_trig_stmt", "ALTER EVENT TRIGGER", (DDL, ADMIN), CODE),
    ("rule_stmt", "CREATE RULE", (DDL, EXEC), CODE),
    ("create_function_stmt", "CREATE FUNCTION", (DDL, EXEC), CODE),
    ("alter_function_stmt", "ALTER FUNCTION", (DDL, EXEC), CODE),
    ("create_cast_stmt", "CREATE CAST", (DDL, EXEC), CODE),
    ("create_conversion_stmt", "CREATE CONVERSION", (DDL, EXEC), CODE),
    ("create_transform_stmt", "CREATE TRANSFORM", (DDL, EXEC), CODE),
    ("create_plang_stmt", "CREATE LANGUAGE", (ADMIN, EXEC), CODE),
    ("create_am_stmt", "CREATE ACCESS METHOD", (ADMIN, EXEC), CODE),
    ("create_extension_stmt", "CREATE EXTENSION", (ADMIN, EXEC), "runs a script of the server's"),
    ("alter_extension_stmt", "ALTER EXTENSION", (ADMIN, EXEC), "runs a script of the server's"),
    ("alter_extension_contents_stmt", "ALTER EXTENSION", (ADMIN,), SCHEMA),
    ("load_stmt", "LOAD", (ADMIN, EXEC), "loads a library into the server"),
    ("do_stmt", "DO", (UNKNOWN, EXEC), "runs code that is not read here"),
    ("call_stmt", "CALL", (UNKNOWN, EXEC), "runs a procedure, which is not read here"),
    ("execute_stmt", "EXECUTE", (UNKNOWN,), "runs a statement that was prepared elsewhere"),
    ("create_policy_stmt", "CREATE POLICY", (DDL, ADMIN), RIGHTS),
    ("alter_policy_stmt", "ALTER POLICY", (DDL, ADMIN), RIGHTS),
    ("grant_stmt", "GRANT", (ADMIN,), RIGHTS),
    ("grant_role_stmt", "GRANT", (ADMIN,), RIGHTS),
    ("alter_default_privileges_stmt", "ALTER DEFAULT PRIVILEGES", (ADMIN,), RIGHTS),
    ("create_role_stmt", "CREATE ROLE", (ADMIN,), RIGHTS),
    ("alter_role_stmt", "ALTER ROLE", (ADMIN,), RIGHTS),
    ("alter_role_set_stmt", "ALTER ROLE", (ADMIN,), "changes settings of later sessions"),
    ("drop_role_stmt", "DROP ROLE", (ADMIN,), RIGHTS),
    ("alter_owner_stmt", "ALTER ... OWNER", (ADMIN, DDL), RIGHTS),
    ("drop_owned_stmt", "DROP OWNED", (ADMIN, DDL), "drops everything that a role owns"),
    ("reassign_owned_stmt", "REASSIGN OWNED", (ADMIN, DDL), RIGHTS),
    ("sec_label_stmt", "SECURITY LABEL", (ADMIN,), RIGHTS),
    ("createdb_stmt", "CREATE DATABASE", (ADMIN,), SERVER),
    ("dropdb_stmt", "DROP DATABASE", (ADMIN,), SERVER),
    ("alter_database_stmt", "ALTER DATABASE", (ADMIN,), SERVER),
    ("alter_database_set_stmt", "ALTER DATABASE", (ADMIN,), "changes settings of later sessions"),
    ("alter_database_refresh_coll_stmt", "ALTER DATABASE", (ADMIN,), SERVER),
    ("create_table_space_stmt", "CREATE TABLESPACE", (ADMIN,), "uses a folder of the server"),
    ("alter_table_space_options_stmt", "ALTER TABLESPACE", (ADMIN,), SERVER),
    ("drop_table_space_stmt", "DROP TABLESPACE", (ADMIN,), SERVER),
    ("alter_table_move_all_stmt", "ALTER ... ALL IN TABLESPACE", (ADMIN, DDL), SERVER),
    ("alter_system_stmt", "ALTER SYSTEM", (ADMIN,), "changes the server's configuration"),
    ("vacuum_stmt", "VACUUM", (ADMIN,), "rewrites tables or their statistics"),
    ("reindex_stmt", "REINDEX", (ADMIN,), "locks tables and runs the functions of their indexes"),
    ("cluster_stmt", "CLUSTER", (ADMIN,), "locks tables and rewrites them"),
    ("check_point_stmt", "CHECKPOINT", (ADMIN,), SERVER),
    ("create_fdw_stmt", "CREATE FOREIGN DATA WRAPPER", (ADMIN, EXEC), CODE),
    ("alter_fdw_stmt", "ALTER FOREIGN DATA WRAPPER", (ADMIN, EXEC), CODE),
    ("create_foreign_server_stmt", "CREATE SERVER", (ADMIN, DDL), REMOTE),
    ("alter_foreign_server_stmt", "ALTER SERVER", (ADMIN, DDL), REMOTE),
    ("create_user_mapping_stmt", "CREATE USER MAPPING", (ADMIN,), REMOTE),
    ("alter_user_mapping_stmt", "ALTER USER MAPPING", (ADMIN,), REMOTE),
    ("drop_user_mapping_stmt", "DROP USER MAPPING", (ADMIN,), REMOTE),
    ("create_foreign_table_stmt", "CREATE FOREIGN TABLE", (DDL, ADMIN), REMOTE),
    ("import_foreign_schema_stmt", "IMPORT FOREIGN SCHEMA", (DDL, ADMIN, EXEC), REMOTE),
    ("create_publication_stmt", "CREATE PUBLICATION", (ADMIN,), "lets tables be copied elsewhere"),
    ("alter_publication_stmt", "ALTER PUBLICATION", (ADMIN,), "lets tables be copied elsewhere"),
    ("create_subscription_stmt", "CREATE SUBSCRIPTION", (ADMIN, EXEC), REMOTE),
    ("alter_subscription_stmt", "ALTER SUBSCRIPTION", (ADMIN, EXEC), REMOTE),
    ("drop_subscription_stmt", "DROP SUBSCRIPTION", (ADMIN,), REMOTE),
    ("lock_stmt", "LOCK", (WRITE,), "keeps other sessions waiting"),
    ("notify_stmt", "NOTIFY", (WRITE,), "sends a message to other sessions"),
    ("listen_stmt", "LISTEN", (SESSION,), ""),
    ("unlisten_stmt", "UNLISTEN", (SESSION,), ""),
    ("deallocate_stmt", "DEALLOCATE", (SESSION,), ""),
    ("discard_stmt", "DISCARD", (SESSION,), ""),
    ("close_portal_stmt", "CLOSE", (SESSION,), ""),
    ("constraints_set_stmt", "SET CONSTRAINTS", (SESSION,), ""),
    ("variable_show_stmt", "SHOW", (READ,), ""),
    ("fetch_stmt", "FETCH", (READ,), ""),
)
COMMANDS: dict[str, tuple[str, frozenset[Effect], str]] = {
    node: (name, frozenset(effects), why) for node, name, effects, why in _TABLE
}
"""What a cursor's FETCH runs was read at its DECLARE. Those that are not here are unknown."""

QUERIES = ("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")
READ_ELSEWHERE = (
    *QUERIES,
    "explain_stmt",
    "copy_stmt",
    "transaction_stmt",
    "variable_set_stmt",
    "create_table_as_stmt",
    "prepare_stmt",
    "declare_cursor_stmt",
)
"""Commands with a reading of their own."""

NO_COMMANDS = ("raw_stmt", "set_operation_stmt", "return_stmt", "plassign_stmt")
"""Nodes that are called statements and are never a command by themselves."""

ALTERS_RIGHTS = frozenset(
    """
    AT_ChangeOwner AT_EnableTrig AT_EnableAlwaysTrig AT_EnableReplicaTrig AT_DisableTrig AT_EnableTrigAll AT_DisableTrigAll
    AT_EnableTrigUser AT_DisableTrigUser AT_EnableRule AT_EnableAlwaysRule AT_EnableReplicaRule AT_DisableRule
    AT_EnableRowSecurity AT_DisableRowSecurity AT_ForceRowSecurity AT_NoForceRowSecurity
    """.split()
)
"""Forms of ALTER TABLE that change who may do what, or whether triggers watch over it."""

LOCK_MODES = (
    "",
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""By their numbers in the grammar (manual, "Table-Level Locks")."""

DEFINED = {
    "OBJECT_AGGREGATE": "AGGREGATE",
    "OBJECT_OPERATOR": "OPERATOR",
    "OBJECT_TYPE": "TYPE",
    "OBJECT_TSPARSER": "TEXT SEARCH PARSER",
    "OBJECT_TSDICTIONARY": "TEXT SEARCH DICTIONARY",
    "OBJECT_TSTEMPLATE": "TEXT SEARCH TEMPLATE",
    "OBJECT_TSCONFIGURATION": "TEXT SEARCH CONFIGURATION",
    "OBJECT_COLLATION": "COLLATION",
}
