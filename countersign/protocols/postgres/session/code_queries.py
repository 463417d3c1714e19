"""What a target's catalog is asked about code of users' own: where it runs, and so where the server's words may be theirs."""

OWN_FUNCTIONS = """
    SELECT p.proname
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')
"""
"""Functions of users' own. Only a superuser makes one in C, and one in C does not read rows for others to see."""

CODE = """
    WITH code AS (
        SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')
    ),
    used AS (
        SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN code ON code.oid = d.refobjid
        WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    ),
    parts (relation, events) AS (
        SELECT t.tgrelid, array_remove(ARRAY[CASE WHEN t.tgtype & 4 > 0 THEN 'INSERT' END, CASE WHEN t.tgtype & 8 > 0 THEN 'DELETE' END,
            CASE WHEN t.tgtype & 16 > 0 THEN 'UPDATE' END, CASE WHEN t.tgtype & 32 > 0 THEN 'TRUNCATE' END], NULL)
        FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal
        UNION ALL
        SELECT r.ev_class, CASE r.ev_type WHEN '2' THEN ARRAY['UPDATE'] WHEN '3' THEN ARRAY['INSERT'] ELSE ARRAY['DELETE'] END
        FROM pg_catalog.pg_rewrite r WHERE r.ev_type <> '1'
        UNION ALL
        SELECT r.ev_class, ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'DDL']
        FROM pg_catalog.pg_rewrite r JOIN used u ON u.objid = r.oid WHERE u.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        UNION ALL
        SELECT a.adrelid, ARRAY['SELECT', 'INSERT', 'UPDATE', 'DDL']
        FROM pg_catalog.pg_attrdef a JOIN used u ON u.objid = a.oid WHERE u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
        UNION ALL
        SELECT c.conrelid, ARRAY['INSERT', 'UPDATE', 'DDL']
        FROM pg_catalog.pg_constraint c JOIN used u ON u.objid = c.oid
        WHERE c.conrelid <> 0 AND u.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        UNION ALL
        SELECT a.attrelid, ARRAY['INSERT', 'UPDATE', 'DDL']
        FROM pg_catalog.pg_constraint c JOIN used u ON u.objid = c.oid
        JOIN pg_catalog.pg_type t ON c.contypid IN (t.oid, t.typbasetype)
        JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid
        WHERE c.contypid <> 0 AND u.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        UNION ALL
        SELECT i.indrelid, ARRAY['INSERT', 'UPDATE', 'DDL']
        FROM pg_catalog.pg_index i JOIN used u ON u.objid = i.indexrelid WHERE u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        UNION ALL
        SELECT p.polrelid, ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
        FROM pg_catalog.pg_policy p JOIN used u ON u.objid = p.oid WHERE u.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
        UNION ALL
        SELECT c.oid, ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'DDL'] FROM pg_catalog.pg_class c WHERE c.relkind = 'f'
    )
    SELECT DISTINCT p.relation, e.event FROM parts p, LATERAL unnest(p.events) AS e (event)
"""
"""Where functions of users' own run, and foreign tables, whose servers say what they like."""

CASCADES = """
    SELECT confrelid, conrelid, confdeltype::text, confupdtype::text FROM pg_catalog.pg_constraint WHERE contype = 'f'
"""
CHECKED_TYPES = """
    WITH code AS (
        SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')
    )
    SELECT t.typname
    FROM pg_catalog.pg_depend d
    JOIN code ON code.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    JOIN pg_catalog.pg_constraint c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
    JOIN pg_catalog.pg_type t ON c.contypid IN (t.oid, t.typbasetype)
    WHERE c.contypid <> 0
"""
EVENT_TRIGGERS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D')"
OWNED_SEQUENCES = """
    SELECT d.objid, d.refobjid, d.refobjsubid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
"""
"""Sequences of serial and identity columns."""
