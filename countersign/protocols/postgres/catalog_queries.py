"""The queries that read a target's catalog, for PostgreSQL 13 to 18 (manual, "System Catalogs"). Texts only.

The reader of rows knows whole numbers, texts and arrays of numbers; arrays of names come as JSON. They are run with an empty search path, so that the server writes every name of users' own in full and no operator of users' own is
used. Whatever writes an expression or a view out (``pg_get_expr`` and its kin) takes ACCESS SHARE on its relations and would wait
behind ACCESS EXCLUSIVE: a text that could make it wait comes as NULL, and nothing that depends on it is a read.
"""

SURROUNDINGS = """
    SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))::text, pg_catalog.current_setting('search_path'), pg_catalog.current_setting('server_version_num')
"""
"""What a new session of the gateway's role begins with. Run before anything else, while names still mean what they mean to it."""

PREPARE = """
    SELECT pg_catalog.set_config('search_path', '', false), pg_catalog.set_config('lock_timeout', '2s', false),
      pg_catalog.set_config('statement_timeout', '20s', false), pg_catalog.set_config('jit', 'off', false),
      pg_catalog.set_config('default_transaction_read_only', 'on', false), pg_catalog.set_config('quote_all_identifiers', 'off', false)
"""

_FINGERPRINTED = (
    "pg_class pg_attribute pg_proc pg_type pg_rewrite pg_trigger pg_constraint pg_policy pg_attrdef pg_index pg_inherits pg_operator "
    "pg_cast pg_event_trigger pg_namespace pg_extension pg_aggregate pg_range pg_opclass pg_amproc pg_amop pg_statistic_ext "
    "pg_partitioned_table pg_db_role_setting pg_language"
).split()
_SUM = "(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(xmin::text::bigint), 0) FROM pg_catalog.{})"
FINGERPRINT = "SELECT pg_catalog.concat_ws(' ', {})".format(
    ", ".join(_SUM.format(name) for name in (*_FINGERPRINTED, "pg_depend WHERE deptype = 'e'"))
)
"""The same as long as nothing was changed: a new version of a row has a transaction id that is higher than every one before it, so
that of two states with as many rows the later one has the higher sum."""

_HELD = """
    held AS MATERIALIZED (
      SELECT l.relation FROM pg_catalog.pg_locks l
      WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    )
"""


LOCKED = """
    SELECT l.relation, l.pid
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_class c ON c.oid = l.relation
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
      AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ORDER BY 1, 2
"""
"""Relations that a session has locked so that even readers wait, and which session: what it does to them is not to be seen yet."""


def _unless_held(relation: str, text: str) -> str:
    return f"CASE WHEN {relation} NOT IN (SELECT relation FROM held) THEN {text} END"  # noqa: S608  # texts of this file


RELATIONS = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relrowsecurity, a.names, a.types, a.numbers, a.generated
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN (
      SELECT attrelid, pg_catalog.json_agg(attname ORDER BY attnum)::text AS names, pg_catalog.array_agg(atttypid ORDER BY attnum) AS types,
        pg_catalog.array_agg(attnum ORDER BY attnum) AS numbers,
        pg_catalog.array_agg(attnum ORDER BY attnum) FILTER (WHERE attgenerated <> '') AS generated
      FROM pg_catalog.pg_attribute
      WHERE attnum > 0 AND NOT attisdropped
      GROUP BY attrelid
    ) a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND n.nspname NOT LIKE 'pg\\_toast%'
    ORDER BY c.oid
"""

INHERITS = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits ORDER BY inhparent, inhrelid"

VIEW_USES = """
    SELECT DISTINCT r.ev_class, d.refobjid, d.refobjsubid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
    ORDER BY 1, 2, 3
"""
"""For masking: which view reads which column."""

RULES = f"""
    WITH {_HELD}
    SELECT r.oid, r.ev_class, r.rulename, r.ev_type::text, r.is_instead,
      CASE
        WHEN r.ev_class < 16384 OR r.ev_class IN (SELECT relation FROM held) OR EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid IN (SELECT relation FROM held)
        ) THEN NULL
        WHEN r.rulename = '_RETURN' THEN pg_catalog.pg_get_viewdef(r.ev_class)
        ELSE pg_catalog.pg_get_ruledef(r.oid)
      END
    FROM pg_catalog.pg_rewrite r
    WHERE r.ev_enabled <> 'D'
    ORDER BY r.oid
"""  # noqa: S608  # put together from texts of this file
"""Rules, a view's own among them."""

TRIGGERS = """
    SELECT t.tgrelid, t.tgname, t.tgtype, n.nspname || '.' || p.proname
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
    ORDER BY t.oid
"""

EVENT_TRIGGERS = """
    SELECT t.evtname, t.evtevent, n.nspname || '.' || p.proname
    FROM pg_catalog.pg_event_trigger t
    JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE t.evtenabled <> 'D' AND t.evtevent <> 'login'
    ORDER BY t.oid
"""
"""``login`` concerns sessions, not commands."""


def parts(version: int) -> str:
    """Expressions that belong to relations and domains: (kind, its own OID, the owner's OID, is a domain's, name, text)."""
    text = _unless_held("s.stxrelid", "pg_catalog.pg_get_expr(s.stxexprs, s.stxrelid)")
    statistics = f"""
      UNION ALL
      SELECT 'statistics', s.oid, s.stxrelid, false, s.stxname, {text}
      FROM pg_catalog.pg_statistic_ext s WHERE s.stxexprs IS NOT NULL
    """  # noqa: S608  # put together from texts of this file
    return f"""
      WITH {_HELD}
      SELECT CASE WHEN p.polcmd IN ('r', '*') THEN 'policy' ELSE 'policy for writing' END AS kind, p.oid, p.polrelid, false,
        p.polname, {_unless_held("p.polrelid", "pg_catalog.pg_get_expr(p.polqual, p.polrelid)")}
      FROM pg_catalog.pg_policy p WHERE p.polqual IS NOT NULL
      UNION ALL
      SELECT 'policy for writing', p.oid, p.polrelid, false, p.polname,
        {_unless_held("p.polrelid", "pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)")}
      FROM pg_catalog.pg_policy p WHERE p.polwithcheck IS NOT NULL
      UNION ALL
      SELECT CASE a.attgenerated WHEN '' THEN 'default' WHEN 'v' THEN 'virtual' ELSE 'generated' END, d.oid, d.adrelid, false,
        a.attname, {_unless_held("d.adrelid", "pg_catalog.pg_get_expr(d.adbin, d.adrelid)")}
      FROM pg_catalog.pg_attrdef d
      JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
      UNION ALL
      SELECT 'check', c.oid, c.conrelid, false, c.conname,
        {_unless_held("c.conrelid", "pg_catalog.pg_get_expr(c.conbin, c.conrelid)")}
      FROM pg_catalog.pg_constraint c WHERE c.conbin IS NOT NULL AND c.conrelid >= 16384
      UNION ALL
      SELECT 'check', c.oid, c.contypid, true, c.conname, pg_catalog.pg_get_expr(c.conbin, 0)
      FROM pg_catalog.pg_constraint c WHERE c.conbin IS NOT NULL AND c.contypid >= 16384
      UNION ALL
      SELECT 'index', i.indexrelid, i.indrelid, false, r.relname,
        {_unless_held("i.indrelid", "pg_catalog.pg_get_expr(i.indexprs, i.indrelid)")}
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid WHERE i.indexprs IS NOT NULL
      UNION ALL
      SELECT 'index', i.indexrelid, i.indrelid, false, r.relname,
        {_unless_held("i.indrelid", "pg_catalog.pg_get_expr(i.indpred, i.indrelid)")}
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid WHERE i.indpred IS NOT NULL
      UNION ALL
      SELECT 'partition', t.partrelid, t.partrelid, false, 'key',
        {_unless_held("t.partrelid", "pg_catalog.pg_get_expr(t.partexprs, t.partrelid)")}
      FROM pg_catalog.pg_partitioned_table t WHERE t.partexprs IS NOT NULL
      {statistics if version >= 140000 else ""}
      ORDER BY 3, 2, 1
    """  # noqa: S608  # put together from texts of this file


USES = """
    SELECT CASE d.classid
        WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN 'rule'
        WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN 'default'
        WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN 'check'
        WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN 'policy'
        WHEN 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass THEN 'statistics'
        ELSE 'index'
      END, d.objid, d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass, d.refobjid
    FROM pg_catalog.pg_depend d
    WHERE d.refobjid >= 16384
      AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
      AND d.classid IN (
        'pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_attrdef'::pg_catalog.regclass,
        'pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
        'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass
      )
    ORDER BY 1, 2, 3, 4
"""
"""Functions and operators of users' own that an expression depends on, seen or unseen in its text: an implicit cast is not written."""

FOREIGN_KEYS = """
    SELECT c.confrelid, c.conrelid, c.confdeltype::text, c.confupdtype::text, c.confkey
    FROM pg_catalog.pg_constraint c WHERE c.contype = 'f'
    ORDER BY c.oid
"""

FUNCTIONS = """
    SELECT p.oid, n.nspname, p.proname, l.lanname, p.provolatile::text, p.pronargs, p.pronargdefaults, p.provariadic, e.extname,
      CASE WHEN a.aggfnoid IS NOT NULL THEN ARRAY[
        a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn
      ]::pg_catalog.oid[] END,
      p.prosupport::pg_catalog.oid, p.prosrc
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
    WHERE p.oid >= 16384 OR l.lanname NOT IN ('internal', 'c', 'sql')
    ORDER BY p.oid
"""
"""Those of initdb are in C or, a few, in SQL: what has another language is PostgreSQL's no more."""

OPERATORS = """
    SELECT o.oid, n.nspname, o.oprname, o.oprcode::pg_catalog.oid, fn.nspname || '.' || p.proname,
      EXISTS (SELECT FROM pg_catalog.pg_operator b WHERE b.oid < 16384 AND b.oprcode = o.oprcode),
      ARRAY[o.oprrest, o.oprjoin]::pg_catalog.oid[]
    FROM pg_catalog.pg_operator o
    JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
    LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
    LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = p.pronamespace
    WHERE o.oid >= 16384
    ORDER BY o.oid
"""

TYPES = """
    SELECT t.oid, n.nspname, t.typname, t.typtype::text, t.typcategory::text, t.typelem, t.typrelid, t.typbasetype,
      ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze]::pg_catalog.oid[],
      r.rngsubtype, ARRAY[coalesce(r.rngcanonical, 0), coalesce(r.rngsubdiff, 0)]::pg_catalog.oid[], r.rngsubopc
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
    WHERE t.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_toast%'
    ORDER BY t.oid
"""

MULTIRANGES = "SELECT rngmultitypid, rngtypid FROM pg_catalog.pg_range WHERE rngmultitypid >= 16384 ORDER BY 1"
"""From version 14 on."""

CASTS = """
    SELECT c.castsource, c.casttarget, s.typname, t.typname, c.castfunc, n.nspname || '.' || p.proname, c.castcontext::text
    FROM pg_catalog.pg_cast c
    JOIN pg_catalog.pg_type s ON s.oid = c.castsource
    JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
    JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE c.oid >= 16384
    ORDER BY c.oid
"""

COMPARISONS = """
    WITH called AS (
      SELECT p.amprocfamily AS family, p.amproc::pg_catalog.oid AS function FROM pg_catalog.pg_amproc p
      UNION
      SELECT m.amopfamily, o.oprcode::pg_catalog.oid
      FROM pg_catalog.pg_amop m JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr
    )
    SELECT o.opcintype, pg_catalog.bool_or(o.opcdefault), c.function, n.nspname || '.' || f.proname
    FROM pg_catalog.pg_opclass o
    JOIN called c ON c.family = o.opcfamily
    JOIN pg_catalog.pg_proc f ON f.oid = c.function
    JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
    WHERE c.function >= 16384
    GROUP BY 1, 3, 4
    ORDER BY 1, 3
"""
"""Functions of users' own that ORDER BY, GROUP BY, DISTINCT, UNION and indexes call for values of a type, by its operator classes: their
support functions and what their operators are made of."""


def queries(version: int) -> dict[str, str]:
    """Every query by the name under which its rows go to ``catalog_rows``, for a ``server_version_num``."""
    return {
        "relations": RELATIONS,
        "inherits": INHERITS,
        "view_uses": VIEW_USES,
        "rules": RULES,
        "triggers": TRIGGERS,
        "event_triggers": EVENT_TRIGGERS,
        "parts": parts(version),
        "uses": USES,
        "foreign_keys": FOREIGN_KEYS,
        "functions": FUNCTIONS,
        "operators": OPERATORS,
        "types": TYPES,
        "multiranges": MULTIRANGES if version >= 140000 else "SELECT 0, 0 WHERE false",
        "casts": CASTS,
        "comparisons": COMPARISONS,
    }
