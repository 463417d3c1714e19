"""What a transaction has made and no other sees: how it is asked for, on the client's own connection, and what the answers say."""

import json
from collections.abc import Sequence

from countersign.protocols.postgres.lineage import Code
from countersign.protocols.postgres.masking import Catalog, CatalogColumn

OWN_COLUMNS = b"""
    SELECT pg_catalog.json_build_array(a.attrelid, a.attnum, n.nspname, c.relname, a.attname, a.attgenerated OPERATOR(pg_catalog.<>) '',
      a.atttypid OPERATOR(pg_catalog.=) ANY ('{114,3802,199,3807}'::pg_catalog.oid[])
      OR a.atttypid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
      AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
      AND (pg_catalog.age(c.xmin) OPERATOR(pg_catalog.<=) 0 OR pg_catalog.age(a.xmin) OPERATOR(pg_catalog.<=) 0)
"""
"""Of a users' type it is not asked what it is made of: it may be JSON."""
OWN_VIEW_USES = b"""
    SELECT pg_catalog.json_build_array(r.ev_class, d.refobjid, d.refobjsubid)
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid
    WHERE d.classid OPERATOR(pg_catalog.=) 2618 AND d.refclassid OPERATOR(pg_catalog.=) 1259
      AND d.refobjid OPERATOR(pg_catalog.<>) r.ev_class AND pg_catalog.age(d.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_INHERITS = b"""
    SELECT pg_catalog.json_build_array(inhrelid, inhparent)
    FROM pg_catalog.pg_inherits i
    WHERE pg_catalog.age(i.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_CASTS = b"""
    SELECT pg_catalog.json_build_array(t.typname)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_cast c ON t.oid OPERATOR(pg_catalog.=) c.castsource OR t.oid OPERATOR(pg_catalog.=) c.casttarget
    WHERE pg_catalog.age(c.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_FUNCTIONS = b"""
    SELECT pg_catalog.json_build_array(n.nspname, p.proname)
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    WHERE pg_catalog.age(p.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_OPERATORS = b"""
    SELECT pg_catalog.json_build_array(n.nspname, o.oprname)
    FROM pg_catalog.pg_operator o
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
    WHERE pg_catalog.age(o.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_CHECKS = b"""
    SELECT conname FROM pg_catalog.pg_constraint
    WHERE contypid OPERATOR(pg_catalog.<>) 0 AND pg_catalog.age(xmin) OPERATOR(pg_catalog.<=) 0 LIMIT 1
"""
OWN_CHANGES = (OWN_COLUMNS, OWN_VIEW_USES, OWN_INHERITS, OWN_CASTS, OWN_FUNCTIONS, OWN_OPERATORS)
"""What a transaction has made and only it can see: rows as young as itself. They are asked for on the client's connection, so that no
name in them is looked up along a search_path of the client's making."""


def read_changes(answers: Sequence[Sequence[bytes]]) -> Catalog:
    """What the ``OWN_CHANGES`` answered. Raises ``ValueError``."""
    columns, uses, inherits, types, functions, operators = ([json.loads(row) for row in rows] for rows in answers)
    return Catalog(
        [CatalogColumn(int(oid), int(number), *names) for oid, number, *names in columns],
        [(int(view), int(used), int(attribute)) for view, used, attribute in uses],
        [(int(child), int(parent)) for child, parent in inherits],
        frozenset(name for (name,) in types),
        code=Code(
            functions=frozenset((schema, name) for schema, name in functions),
            operators=frozenset((schema, name) for schema, name in operators),
        ),
    )
