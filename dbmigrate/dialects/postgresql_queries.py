"""What PostgreSQL's catalogues are asked for a snapshot: one query for each kind of object.

Laws of this file: SQL only. Every query gives the catalogue and oid of an object, then its kind, schema, table and
name; what follows are its properties, named by the column, in the order in which they are shown, numbers as text. NULL,
false and empty are not so. What begins with an underscore is for postgresql_catalogue.py. Nothing but pg_catalog is on
the path, so the server qualifies all other names. What is numbered below 16384 came with the server.
"""

from __future__ import annotations


def own(catalogue: str, oid: str) -> str:
    """Leave out what an extension made, and what is but a part of something else."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '{catalogue}'::regclass AND x.objid = {oid} "
        "AND x.objsubid = 0 AND x.deptype IN ('e', 'i'))"
    )


def _name(routine: str) -> str:
    """Return the name of a routine that need not be there."""
    return f"CASE WHEN {routine} <> 0 THEN {routine}::regproc::text END"


_IS_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
#: Relations of people, with their schemas, and what else is in one.
_RELATION = f"""pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND {_IS_OURS}
    AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid
        AND x.objsubid = 0 AND x.deptype = 'e')"""
_SPACE = "(SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = c.reltablespace)"
_OPTIONS = "ARRAY(SELECT o FROM unnest(c.reloptions) o ORDER BY 1)"
_METHOD = "(SELECT quote_ident(amname) FROM pg_am WHERE oid = c.relam AND amname <> 'heap')"
_TYPE = f"pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND {_IS_OURS} AND {own('pg_type', 't.oid')}"

#: What differs from what CREATE SEQUENCE would choose, as it is written there.
_SEQUENCE = """concat_ws(' ',
    CASE WHEN s.seqincrement <> 1 THEN 'INCREMENT BY ' || s.seqincrement END,
    CASE WHEN s.seqmin <> CASE WHEN s.seqincrement > 0 THEN 1 ELSE -b.most - 1 END THEN 'MINVALUE ' || s.seqmin END,
    CASE WHEN s.seqmax <> CASE WHEN s.seqincrement > 0 THEN b.most ELSE -1 END THEN 'MAXVALUE ' || s.seqmax END,
    CASE WHEN s.seqstart <> CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END
        THEN 'START WITH ' || s.seqstart END,
    CASE WHEN s.seqcache <> 1 THEN 'CACHE ' || s.seqcache END, CASE WHEN s.seqcycle THEN 'CYCLE' END)"""
_MOST = """CROSS JOIN LATERAL (SELECT CASE s.seqtypid WHEN 'int2'::regtype THEN 32767
    WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END AS most) b"""
_ENABLED = "CASE {} WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' END"
_ROLE = "CASE r.rolname WHEN 'owner' THEN '\"owner\"' ELSE quote_ident(r.rolname) END"

_SCHEMAS = f"""
SELECT 'pg_namespace', n.oid, 'schema', '', '', n.nspname
FROM pg_namespace n WHERE {_IS_OURS} AND {own("pg_namespace", "n.oid")}"""

_EXTENSIONS = """
SELECT 'pg_extension', e.oid, 'extension', '', '', e.extname, n.nspname AS schema
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'"""

_COLLATIONS = f"""
SELECT 'pg_collation', c.oid, 'collation', n.nspname, '', c.collname,
    CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS provider,
    coalesce(j->>'colllocale', j->>'colliculocale', CASE WHEN c.collcollate = c.collctype THEN c.collcollate END)
        AS locale,
    CASE WHEN c.collcollate <> c.collctype THEN c.collcollate END AS "lc_collate",
    CASE WHEN c.collcollate <> c.collctype THEN c.collctype END AS "lc_ctype",
    NOT c.collisdeterministic AS "not deterministic", j->>'collicurules' AS rules
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace CROSS JOIN LATERAL to_jsonb(c) j
WHERE {_IS_OURS} AND {own("pg_collation", "c.oid")}"""

_ENUMS = f"""
SELECT 'pg_type', t.oid, 'enum', n.nspname, '', t.typname,
    ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS values
FROM {_TYPE} WHERE t.typtype = 'e'"""

_DOMAINS = f"""
SELECT 'pg_type', t.oid, 'domain', n.nspname, '', t.typname, format_type(t.typbasetype, t.typtypmod) AS type,
    CASE WHEN t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END AS collation,
    t.typnotnull AS "not null", pg_get_expr(t.typdefaultbin, 0) AS default
FROM {_TYPE} JOIN pg_type b ON b.oid = t.typbasetype WHERE t.typtype = 'd'"""

# The name of the multirange is one that the server chooses, unless a person does.
_TYPES = f"""
SELECT 'pg_type', t.oid, 'type', n.nspname, '', t.typname, t.typtype = 'c' AS composite,
    format_type(g.rngsubtype, NULL) AS subtype,
    (SELECT format('%s.%I', o.opcnamespace::regnamespace, o.opcname) FROM pg_opclass o
        WHERE o.oid = g.rngsubopc AND NOT o.opcdefault) AS "subtype operator class",
    CASE WHEN g.rngcollation <> s.typcollation THEN g.rngcollation::regcollation::text END AS collation,
    {_name("g.rngcanonical")} AS canonical,
    {_name("g.rngsubdiff")} AS "subtype difference",
    CASE WHEN m.typname <> CASE WHEN t.typname ~ 'range' THEN regexp_replace(t.typname, 'range', 'multirange')
        ELSE t.typname || '_multirange' END THEN quote_ident(m.typname) END AS "multirange type name",
    CASE WHEN t.typtype = 'b' THEN t.typinput::regproc::text END AS input,
    CASE WHEN t.typtype = 'b' THEN t.typoutput::regproc::text END AS output
FROM {_TYPE} LEFT JOIN pg_range g ON g.rngtypid = t.oid LEFT JOIN pg_type s ON s.oid = g.rngsubtype
LEFT JOIN pg_type m ON m.oid::text = to_jsonb(g)->>'rngmultitypid'
WHERE (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    OR t.typtype = 'r' OR (t.typtype = 'b' AND t.typisdefined)"""

_SEQUENCES = f"""
SELECT 'pg_class', c.oid, 'sequence', n.nspname, '', c.relname,
    CASE WHEN s.seqtypid <> 'int8'::regtype THEN format_type(s.seqtypid, NULL) END AS type,
    c.relpersistence = 'u' AS unlogged, {_SEQUENCE} AS options,
    (SELECT format('%I.%I.%I', onn.nspname, o.relname, a.attname) FROM pg_depend d
        JOIN pg_class o ON o.oid = d.refobjid JOIN pg_namespace onn ON onn.oid = o.relnamespace
        JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
        AND d.deptype = 'a') AS "owned by"
FROM {_RELATION} AND {own("pg_class", "c.oid")} JOIN pg_sequence s ON s.seqrelid = c.oid {_MOST}"""

_ROUTINE = f"""pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    AND {_IS_OURS} AND {own("pg_proc", "p.oid")}"""
_ROUTINES = f"""
SELECT 'pg_proc', p.oid, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, n.nspname, '',
    quote_ident(p.proname) || '(' || oidvectortypes(p.proargtypes) || ')', pg_get_functiondef(p.oid) AS definition
FROM {_ROUTINE} WHERE p.prokind <> 'a'"""

_MODIFIES = "CASE a.{} WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' WHEN 'w' THEN 'READ_WRITE' END"
# For ordinary aggregates a final function is read only unless said otherwise, for the others it is not.
_AGGREGATES = f"""
SELECT 'pg_proc', p.oid, 'aggregate', n.nspname, '',
    quote_ident(p.proname) || '(' || coalesce(nullif(pg_get_function_identity_arguments(p.oid), ''), '*') || ')',
    concat_ws(', ', 'SFUNC = ' || a.aggtransfn::regproc, 'STYPE = ' || format_type(a.aggtranstype, NULL),
    'SSPACE = ' || nullif(a.aggtransspace, 0),
    'FINALFUNC = ' || {_name("a.aggfinalfn")}, CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
    CASE WHEN a.aggfinalfn <> 0 AND a.aggfinalmodify <> CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END
        THEN 'FINALFUNC_MODIFY = ' || {_MODIFIES.format("aggfinalmodify")} END,
    'COMBINEFUNC = ' || {_name("a.aggcombinefn")}, 'SERIALFUNC = ' || {_name("a.aggserialfn")},
    'DESERIALFUNC = ' || {_name("a.aggdeserialfn")}, 'INITCOND = ' || quote_literal(a.agginitval),
    'MSFUNC = ' || {_name("a.aggmtransfn")}, 'MINVFUNC = ' || {_name("a.aggminvtransfn")},
    'MSTYPE = ' || CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END,
    'MSSPACE = ' || nullif(a.aggmtransspace, 0), 'MFINALFUNC = ' || {_name("a.aggmfinalfn")},
    CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
    CASE WHEN a.aggmfinalfn <> 0 AND a.aggmfinalmodify <> CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END
        THEN 'MFINALFUNC_MODIFY = ' || {_MODIFIES.format("aggmfinalmodify")} END,
    'MINITCOND = ' || quote_literal(a.aggminitval),
    'SORTOP = ' || (SELECT format('OPERATOR(%s.%s)', o.oprnamespace::regnamespace, o.oprname) FROM pg_operator o
        WHERE o.oid = a.aggsortop),
    CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED' END,
    CASE WHEN a.aggkind = 'h' THEN 'HYPOTHETICAL' END) AS definition
FROM {_ROUTINE} JOIN pg_aggregate a ON a.aggfnoid = p.oid"""

_OPERATORS = f"""
SELECT 'pg_operator', o.oid, 'operator', n.nspname, '', format('%s (%s, %s)', o.oprname,
    CASE o.oprleft WHEN 0 THEN 'NONE' ELSE format_type(o.oprleft, NULL) END, format_type(o.oprright, NULL)),
    concat_ws(', ', 'FUNCTION = ' || o.oprcode,
    'LEFTARG = ' || CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END,
    'RIGHTARG = ' || format_type(o.oprright, NULL),
    'COMMUTATOR = ' || (SELECT format('OPERATOR(%s.%s)', x.oprnamespace::regnamespace, x.oprname)
        FROM pg_operator x WHERE x.oid = o.oprcom),
    'NEGATOR = ' || (SELECT format('OPERATOR(%s.%s)', x.oprnamespace::regnamespace, x.oprname)
        FROM pg_operator x WHERE x.oid = o.oprnegate),
    'RESTRICT = ' || {_name("o.oprrest")}, 'JOIN = ' || {_name("o.oprjoin")},
    CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END) AS definition
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE {_IS_OURS} AND o.oprcode <> 0 AND {own("pg_operator", "o.oid")}"""

_CASTS = f"""
SELECT 'pg_cast', c.oid, 'cast', '', '',
    format('%s AS %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
    CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END AS function,
    c.castmethod = 'i' AS inout, CASE c.castcontext WHEN 'a' THEN 'ASSIGNMENT' WHEN 'i' THEN 'IMPLICIT' END AS context
FROM pg_cast c WHERE c.oid >= 16384 AND {own("pg_cast", "c.oid")}"""

_DICTIONARIES = f"""
SELECT 'pg_ts_dict', d.oid, 'text search dictionary', n.nspname, '', d.dictname,
    format('%s.%I', t.tmplnamespace::regnamespace, t.tmplname) AS template, d.dictinitoption AS options
FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
WHERE {_IS_OURS} AND {own("pg_ts_dict", "d.oid")}"""

_CONFIGURATIONS = f"""
SELECT 'pg_ts_config', c.oid, 'text search configuration', n.nspname, '', c.cfgname,
    format('%s.%I', p.prsnamespace::regnamespace, p.prsname) AS parser,
    ARRAY(SELECT (SELECT k.alias FROM ts_token_type(c.cfgparser) k WHERE k.tokid = m.maptokentype) || ' WITH '
        || string_agg(format('%s.%I', d.dictnamespace::regnamespace, d.dictname), ', ' ORDER BY m.mapseqno)
        FROM pg_ts_config_map m JOIN pg_ts_dict d ON d.oid = m.mapdict
        WHERE m.mapcfg = c.oid GROUP BY m.maptokentype ORDER BY 1) AS mappings
FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p ON p.oid = c.cfgparser
WHERE {_IS_OURS} AND {own("pg_ts_config", "c.oid")}"""

_WRAPPERS = f"""
SELECT 'pg_foreign_data_wrapper', f.oid, 'foreign data wrapper', '', '', f.fdwname,
    {_name("f.fdwhandler")} AS handler,
    {_name("f.fdwvalidator")} AS validator,
    ARRAY(SELECT o FROM unnest(f.fdwoptions) o ORDER BY 1) AS options
FROM pg_foreign_data_wrapper f WHERE {own("pg_foreign_data_wrapper", "f.oid")}"""

_SERVERS = f"""
SELECT 'pg_foreign_server', s.oid, 'server', '', '', s.srvname, quote_ident(f.fdwname) AS wrapper,
    s.srvtype AS type, s.srvversion AS version, ARRAY(SELECT o FROM unnest(s.srvoptions) o ORDER BY 1) AS options
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper f ON f.oid = s.srvfdw
WHERE {own("pg_foreign_server", "s.oid")}"""

_TABLES = f"""
SELECT 'pg_class', c.oid, CASE c.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END, n.nspname, '', c.relname,
    c.relpersistence = 'u' AS unlogged,
    CASE WHEN c.relispartition THEN i.parents[1] END AS "partition of", pg_get_expr(c.relpartbound, c.oid) AS bound,
    CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS "partition by",
    CASE WHEN NOT c.relispartition THEN i.parents END AS inherits,
    CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS "of type",
    f.server, f.options AS "server options", {_METHOD} AS "access method", {_SPACE} AS tablespace,
    ARRAY(SELECT o FROM unnest(c.reloptions) o UNION ALL SELECT 'toast.' || o
        FROM pg_class x, unnest(x.reloptions) o WHERE x.oid = c.reltoastrelid ORDER BY 1) AS options,
    c.relrowsecurity AS "row security", c.relforcerowsecurity AS "force row security",
    CASE WHEN c.relkind = 'f' THEN NULL WHEN c.relreplident = 'n' THEN 'NOTHING' WHEN c.relreplident = 'f' THEN 'FULL'
        WHEN c.relreplident = 'i' THEN 'USING INDEX ' || (SELECT quote_ident(k.relname)
            FROM pg_index x JOIN pg_class k ON k.oid = x.indexrelid WHERE x.indrelid = c.oid AND x.indisreplident)
        END AS "replica identity",
    (SELECT quote_ident(k.relname) FROM pg_index x JOIN pg_class k ON k.oid = x.indexrelid
        WHERE x.indrelid = c.oid AND x.indisclustered) AS "cluster on"
FROM {_RELATION}
LEFT JOIN LATERAL (SELECT array_agg(format('%I.%I', pn.nspname, p.relname) ORDER BY h.inhseqno) AS parents
    FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE h.inhrelid = c.oid) i ON true
LEFT JOIN LATERAL (SELECT quote_ident(s.srvname) AS server,
    ARRAY(SELECT o FROM unnest(f.ftoptions) o ORDER BY 1) AS options
    FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid) f ON true
WHERE c.relkind IN ('r', 'p', 'f')"""

_VIEWS = f"""
SELECT 'pg_class', c.oid, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, n.nspname, '', c.relname,
    {_OPTIONS} AS options, {_METHOD} AS "access method", {_SPACE} AS tablespace,
    ltrim(rtrim(pg_get_viewdef(c.oid), ';')) AS definition
FROM {_RELATION} WHERE c.relkind IN ('v', 'm')"""

# What a view's columns are is in its definition. NOT NULL has had a name since PostgreSQL 18, which is seldom one that
# somebody chose, and stays when what it was made of is renamed.
_COLUMNS = f"""
SELECT 'pg_class', c.oid, 'column', n.nspname, c.relname, a.attname,
    CASE WHEN c.relkind NOT IN ('v', 'm') THEN format_type(a.atttypid, a.atttypmod) END AS type,
    CASE WHEN a.attcollation <> t.typcollation AND c.relkind NOT IN ('v', 'm')
        THEN a.attcollation::regcollation::text END AS collation,
    a.attnotnull AS "not null",
    CASE WHEN k.conname !~ '_not_null[0-9]*$' THEN quote_ident(k.conname) END AS "not null name",
    k.connoinherit AS "not null no inherit", NOT k.convalidated AS "not null not valid",
    CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
    CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,
    a.attgenerated = 's' AS stored, a.attgenerated = 'v' AS virtual,
    CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity,
    i.options AS "identity options", i.type AS "identity type", i.persistence AS "identity persistence",
    CASE WHEN a.attstorage <> t.typstorage AND c.relkind <> 'v' THEN
        CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END
        END AS storage,
    CASE {{compression}} WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    nullif(a.attstattarget, -1)::text AS statistics,
    ARRAY(SELECT o FROM unnest(a.attoptions) o ORDER BY 1) AS options,
    ARRAY(SELECT o FROM unnest(a.attfdwoptions) o ORDER BY 1) AS "server options",
    row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) AS _position, a.attnum AS _number,
    CASE WHEN a.attinhcount > 0 THEN ARRAY(SELECT h.inhparent::int8 FROM pg_inherits h
        WHERE h.inhrelid = c.oid ORDER BY h.inhseqno) END AS _parents
FROM {_RELATION} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum AND a.atthasdef
LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'n' AND k.conkey[1] = a.attnum
LEFT JOIN LATERAL (SELECT {_SEQUENCE} AS options,
    CASE WHEN s.seqtypid <> a.atttypid THEN format_type(s.seqtypid, NULL) END AS type,
    CASE WHEN v.relpersistence <> c.relpersistence THEN CASE v.relpersistence WHEN 'u' THEN 'UNLOGGED'
        ELSE 'LOGGED' END END AS persistence
    FROM pg_depend x JOIN pg_sequence s ON s.seqrelid = x.objid JOIN pg_class v ON v.oid = x.objid {_MOST}
    WHERE x.classid = 'pg_class'::regclass AND x.refclassid = 'pg_class'::regclass AND x.deptype = 'i'
    AND x.refobjid = c.oid AND x.refobjsubid = a.attnum) i ON a.attidentity <> ''
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c')"""

# The parameters of an index and, if it is a partition's, of the one it is a copy of.
_PARAMETERS = """(SELECT own, theirs, ARRAY(SELECT split_part(o, '=', 1) FROM unnest(theirs) o
        EXCEPT SELECT split_part(o, '=', 1) FROM unnest(own) o ORDER BY 1) AS reset
    FROM (SELECT ARRAY(SELECT o FROM unnest({0}.reloptions) o ORDER BY 1) AS own,
        ARRAY(SELECT o FROM unnest({1}.reloptions) o ORDER BY 1) AS theirs) x)"""
_SAID = """EXISTS (SELECT FROM pg_description d
    WHERE d.classoid = '{0}'::regclass AND d.objoid = {1} AND d.objsubid = 0)"""
# A constraint can be there and not be heeded: where one of its triggers is not for everyday use. Those of a foreign key
# are on both tables.
_SWITCHED = """(SELECT bool_or(x.off) FILTER (WHERE NOT x.far) AS near, bool_or(x.off) FILTER (WHERE x.far) AS far
    FROM (SELECT g.tgenabled IN ('D', 'R') AS off, {0}.contype = 'f' AND g.tgfoid NOT IN (
        'pg_catalog."RI_FKey_check_ins"'::regproc, 'pg_catalog."RI_FKey_check_upd"'::regproc) AS far
        FROM pg_trigger g WHERE g.tgconstraint = {0}.oid) x)"""
# Partitions have copies of all that their table has. One is worth a word where it is otherwise, or has a comment.
_CONSTRAINTS = f"""
SELECT 'pg_constraint', k.oid, CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique'
    WHEN 'f' THEN 'foreign key' WHEN 'x' THEN 'exclusion' ELSE 'check' END,
    n.nspname, coalesce(c.relname, t.typname), k.conname, h.ed AS inherited,
    (SELECT format('%I.%I', y.nspname, pi.relname) FROM pg_namespace y WHERE y.oid = pi.relnamespace) AS "partition of",
    CASE WHEN NOT h.ed THEN pg_get_constraintdef(k.oid) END AS definition,
    CASE WHEN o.own <> o.theirs THEN o.own END AS options, o.reset AS "options reset",
    CASE WHEN NOT h.ed THEN (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = i.reltablespace) END
        AS tablespace,
    obj_description(i.oid, 'pg_class') AS "index comment",
    s.near AND NOT q.near AS "triggers disabled", q.near AND NOT s.near AS "triggers enabled",
    s.far AND NOT q.far AS "referenced triggers disabled", q.far AND NOT s.far AS "referenced triggers enabled"
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace AND {_IS_OURS}
LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
LEFT JOIN pg_class i ON i.oid = k.conindid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_constraint p ON p.oid = k.conparentid LEFT JOIN pg_class pi ON pi.oid = p.conindid AND i.oid IS NOT NULL
CROSS JOIN LATERAL {_PARAMETERS.format("i", "pi")} o
CROSS JOIN LATERAL (SELECT k.conparentid <> 0 OR k.coninhcount > 0 AS ed) h
CROSS JOIN LATERAL {_SWITCHED.format("k")} s
CROSS JOIN LATERAL (SELECT coalesce(y.near, false) AS near, coalesce(y.far, false) AS far
    FROM {_SWITCHED.format("p")} y) q
WHERE k.contype IN ('p', 'u', 'f', 'x', 'c') AND (NOT h.ed OR s.near <> q.near OR s.far <> q.far OR o.own <> o.theirs
        OR {_SAID.format("pg_constraint", "k.oid")} OR {_SAID.format("pg_class", "i.oid")})
    AND coalesce(c.relpersistence, 'p') <> 't' AND (k.conparentid <> 0 OR {own("pg_constraint", "k.oid")})
    AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.deptype = 'e' AND x.objsubid = 0
        AND ((x.classid = 'pg_class'::regclass AND x.objid = c.oid)
            OR (x.classid = 'pg_type'::regclass AND x.objid = t.oid)))"""

# The name of the index and of its table are in front of what matters.
_INDEXES = f"""
SELECT 'pg_class', i.oid, 'index', n.nspname, c.relname, i.relname, i.relispartition AS inherited,
    (SELECT format('%I.%I', y.nspname, pi.relname) FROM pg_namespace y WHERE y.oid = pi.relnamespace) AS "partition of",
    x.indisunique AND NOT i.relispartition AS unique, CASE WHEN NOT i.relispartition THEN
    substr(pg_get_indexdef(i.oid), length(format('CREATE %sINDEX %I ON %s%I.%I ', CASE WHEN x.indisunique THEN
        'UNIQUE ' END, i.relname, CASE c.relkind WHEN 'p' THEN 'ONLY ' END, n.nspname, c.relname)) + 1) END
        AS definition,
    CASE WHEN i.relispartition AND o.own <> o.theirs THEN o.own END AS options, o.reset AS "options reset",
    CASE WHEN NOT i.relispartition THEN (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = i.reltablespace) END
        AS tablespace,
    t.statistics, NOT (i.relispartition OR x.indisvalid AND x.indisready) AS invalid
FROM {_RELATION} JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_inherits h ON h.inhrelid = i.oid LEFT JOIN pg_class pi ON pi.oid = h.inhparent
CROSS JOIN LATERAL {_PARAMETERS.format("i", "pi")} o
CROSS JOIN LATERAL (SELECT array_agg(format('%s %s', a.attnum, a.attstattarget) ORDER BY a.attnum) AS statistics
    FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget >= 0) t
WHERE (NOT i.relispartition OR o.own <> o.theirs OR t.statistics IS NOT NULL OR {_SAID.format("pg_class", "i.oid")})
    AND c.relkind IN ('r', 'p', 'm', 'f') AND {own("pg_class", "i.oid")}"""

# A trigger of a partition that its table made is worth a word where it is switched in another way.
_TRIGGERS = f"""
SELECT 'pg_trigger', g.oid, 'trigger', n.nspname, c.relname, g.tgname,
    CASE WHEN p.oid IS NULL THEN pg_get_triggerdef(g.oid) END AS definition,
    p.oid IS NOT NULL AS inherited, p.oid IS NOT NULL AND g.tgenabled = 'O' AS enabled,
    g.tgenabled = 'D' AS disabled, {_ENABLED.format("g.tgenabled")} AS fires
FROM {_RELATION} JOIN pg_trigger g ON g.tgrelid = c.oid LEFT JOIN pg_trigger p ON p.oid = g.tgparentid
WHERE (p.oid IS NULL AND NOT g.tgisinternal) OR (NOT p.tgisinternal AND p.tgenabled <> g.tgenabled)"""

_RULES = f"""
SELECT 'pg_rewrite', r.oid, 'rule', n.nspname, c.relname, r.rulename, rtrim(pg_get_ruledef(r.oid), ';') AS definition,
    r.ev_enabled = 'D' AS disabled, {_ENABLED.format("r.ev_enabled")} AS fires
FROM {_RELATION} JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'"""

_POLICIES = f"""
SELECT 'pg_policy', p.oid, 'policy', n.nspname, c.relname, p.polname, NOT p.polpermissive AS restrictive,
    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' END
        AS "for",
    ARRAY(SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1) AS "to",
    pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS "with check"
FROM {_RELATION} JOIN pg_policy p ON p.polrelid = c.oid"""

_STATISTICS = f"""
SELECT 'pg_statistic_ext', s.oid, 'statistics', n.nspname, c.relname,
    s.stxname, (SELECT x.nspname::text FROM pg_namespace x WHERE x.oid = s.stxnamespace AND x.oid <> n.oid) AS schema,
    pg_get_statisticsobjdef(s.oid) AS definition, nullif(s.stxstattarget, -1)::text AS target
FROM {_RELATION} JOIN pg_statistic_ext s ON s.stxrelid = c.oid"""

_EVENT_TRIGGERS = f"""
SELECT 'pg_event_trigger', e.oid, 'event trigger', '', '', e.evtname, e.evtevent AS "on",
    ARRAY(SELECT t FROM unnest(e.evttags) t ORDER BY 1) AS tags, e.evtfoid::regproc::text AS function,
    e.evtenabled = 'D' AS disabled, {_ENABLED.format("e.evtenabled")} AS fires
FROM pg_event_trigger e WHERE {own("pg_event_trigger", "e.oid")}"""

_PUBLICATIONS = f"""
SELECT 'pg_publication', p.oid, 'publication', '', '', p.pubname, p.puballtables AS "for all tables",
    ARRAY(SELECT format('%I.%I', n.nspname, c.relname) || {{published}} FROM pg_publication_rel r
        JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE r.prpubid = p.oid ORDER BY 1) AS tables,
    {{schemas}} AS schemas,
    concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
        CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END) AS publish,
    p.pubviaroot AS "via partition root",
    CASE to_jsonb(p)->>'pubgencols' WHEN 's' THEN 'stored' END AS "generated columns"
FROM pg_publication p WHERE {own("pg_publication", "p.oid")}"""

# What each may do beyond, and not even of, what nobody had to grant.
_WHO = f"""CASE WHEN x.grantee = o.owner THEN 'owner' WHEN x.grantee = 0 THEN 'PUBLIC' ELSE
        (SELECT {_ROLE} FROM pg_roles r WHERE r.oid = x.grantee) END"""
_RIGHTS = """array_agg(x.what ORDER BY x.what) FILTER (WHERE x.given AND NOT x.further) AS privileges,
    array_agg(x.what ORDER BY x.what) FILTER (WHERE x.given AND x.further) AS "with grant option",
    array_agg(x.what ORDER BY x.what) FILTER (WHERE NOT x.given) AS revoked"""
_EXPLODED = """CROSS JOIN LATERAL (
    SELECT grantee, privilege_type || o.part AS what, given.further IS NOT NULL AS given, given.further
    FROM (SELECT grantee, privilege_type, bool_or(is_grantable AND grantee <> o.owner) AS further
        FROM aclexplode(o.acl) GROUP BY 1, 2) given
    FULL JOIN (SELECT grantee, privilege_type FROM aclexplode(o.standard)) standard USING (grantee, privilege_type)
    WHERE given.further IS NULL OR given.further OR standard.grantee IS NULL) x"""
# Whoever makes a database gives everybody what is in the schema public to use; before PostgreSQL 15 more than that.
_GRANTS = f"""
SELECT 'pg_class', 0, 'grant', o.schema, o.name, concat({_WHO}, ' on the ' || o.kind, ' of ' || o.part_of),
    o.kind AS "on", o.part_of AS "of", {_WHO} AS "to", {_RIGHTS}
FROM (
    SELECT '' AS schema, n.nspname::text AS name, '' AS part, NULL AS kind, NULL AS part_of, n.nspowner AS owner,
        coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl,
        acldefault('n', n.nspowner) || CASE n.nspname WHEN 'public' THEN {{public}} ELSE '{{{{}}}}' END AS standard
    FROM pg_namespace n WHERE {_IS_OURS} AND {own("pg_namespace", "n.oid")}
    UNION ALL
    SELECT n.nspname, coalesce(i.relname, c.relname), '', CASE WHEN i.attname IS NOT NULL THEN 'sequence' END,
        quote_ident(i.attname), c.relowner, c.relacl,
        acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)
    FROM {_RELATION} LEFT JOIN LATERAL (SELECT o.relname, a.attname
        FROM pg_depend d JOIN pg_class o ON o.oid = d.refobjid
        JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
        AND d.deptype = 'i') i ON c.relkind = 'S'
    WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
    UNION ALL
    SELECT n.nspname, c.relname, format(' (%I)', a.attname), NULL, NULL, c.relowner, a.attacl, NULL
    FROM {_RELATION} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT n.nspname, quote_ident(p.proname) || '(' || CASE WHEN p.prokind <> 'a' THEN oidvectortypes(p.proargtypes)
        ELSE coalesce(nullif(pg_get_function_identity_arguments(p.oid), ''), '*') END || ')',
        '', NULL, NULL, p.proowner, p.proacl, acldefault('f', p.proowner)
    FROM {_ROUTINE} WHERE p.proacl IS NOT NULL
    UNION ALL
    SELECT n.nspname, t.typname, '', NULL, NULL, t.typowner, t.typacl, acldefault('T', t.typowner)
    FROM {_TYPE} WHERE t.typacl IS NOT NULL
    UNION ALL
    SELECT '', f.fdwname, '', 'foreign data wrapper', NULL, f.fdwowner, f.fdwacl, acldefault('F', f.fdwowner)
    FROM pg_foreign_data_wrapper f WHERE f.fdwacl IS NOT NULL AND {own("pg_foreign_data_wrapper", "f.oid")}
    UNION ALL
    SELECT '', s.srvname, '', 'server', NULL, s.srvowner, s.srvacl, acldefault('S', s.srvowner)
    FROM pg_foreign_server s WHERE s.srvacl IS NOT NULL AND {own("pg_foreign_server", "s.oid")}
) o {_EXPLODED} GROUP BY o.schema, o.name, o.kind, o.part_of, o.owner, x.grantee"""

#: What rights of whoever makes something are about, and what they are where nobody said anything.
THINGS = """CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
        WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END"""
STANDARD_RIGHTS = "acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)"

# In a schema they are added to what is so everywhere. The role that owns the database or asks has no name here.
_DEFAULT_PRIVILEGES = f"""
SELECT 'pg_default_acl', o.oid, 'default privileges', o.schema, '',
    concat_ws(' ', 'on', o.things, 'of ' || o.role, 'to', g.who),
    o.things AS "on", o.role AS "of", g.who AS "to", g.privileges, g."with grant option", g.revoked
FROM (SELECT d.oid, coalesce(n.nspname::text, '') AS schema, '' AS part, d.defaclrole AS owner, d.defaclacl AS acl,
    {THINGS} AS things,
    CASE WHEN d.defaclnamespace = 0 THEN {STANDARD_RIGHTS} END AS standard,
    (SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.oid = d.defaclrole AND r.rolname <> current_user
        AND r.oid <> (SELECT datdba FROM pg_database WHERE datname = current_database())) AS role
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace) o
CROSS JOIN LATERAL (SELECT {_WHO} AS who, {_RIGHTS} FROM (SELECT) one {_EXPLODED} GROUP BY x.grantee) g"""

#: What is said of things, and what depends on what. The schema public is older than what people make. A sequence that a
#: column owns is what its default takes numbers from, and must be there before.
COMMENTS = """
SELECT classoid::regclass::text, objoid, objsubid, description FROM pg_description
WHERE (objoid >= 16384 AND classoid <> 'pg_extension'::regclass OR classoid = 'pg_namespace'::regclass)
    AND (classoid <> 'pg_namespace'::regclass OR description <> 'standard public schema')"""
DEPENDENCIES = """
SELECT DISTINCT classid::regclass::text, objid, refclassid::regclass::text, refobjid, deptype::text FROM pg_depend
WHERE objid >= 16384 AND refobjid >= 16384 AND deptype NOT IN ('e', 'x') AND (classid, objid) <> (refclassid, refobjid)
    AND refclassid <> 'pg_namespace'::regclass
    AND classid NOT IN ('pg_publication_rel'::regclass, 'pg_default_acl'::regclass)
    AND NOT (deptype = 'a' AND classid = 'pg_class'::regclass AND EXISTS (
        SELECT FROM pg_class c WHERE c.oid = objid AND c.relkind = 'S'))"""

_QUERIES = (
    *(_SCHEMAS, _EXTENSIONS, _COLLATIONS, _ENUMS, _DOMAINS, _TYPES, _SEQUENCES, _ROUTINES, _AGGREGATES, _OPERATORS),
    *(_CASTS, _DICTIONARIES, _CONFIGURATIONS, _WRAPPERS, _SERVERS, _TABLES, _VIEWS, _COLUMNS, _CONSTRAINTS, _INDEXES),
    *(_TRIGGERS, _RULES, _POLICIES, _STATISTICS, _EVENT_TRIGGERS, _PUBLICATIONS, _GRANTS, _DEFAULT_PRIVILEGES),
)
#: The versions that have more to tell.
_COMPRESSION, _SCHEMAS_PUBLISHED = 14, 15
_VERSIONED = {_COLUMNS, _PUBLICATIONS, _GRANTS}


def queries(version: int) -> tuple[str, ...]:
    """Return the queries for a major version of the server."""
    usage, create = (f"makeaclitem(0::oid, n.nspowner, '{right}', false)" for right in ("USAGE", "CREATE"))
    pieces = {
        "compression": "a.attcompression" if version >= _COMPRESSION else "''",
        "public": f"ARRAY[{usage}]" if version >= _SCHEMAS_PUBLISHED else f"ARRAY[{usage}, {create}]",
        "published": "''",
        "schemas": "ARRAY[]::text[]",
    }
    if version >= _SCHEMAS_PUBLISHED:
        pieces["published"] = """coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
            || ')' FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs::int2[])), '')
        || coalesce(' WHERE ' || pg_get_expr(r.prqual, r.prrelid), '')"""
        pieces["schemas"] = """ARRAY(SELECT quote_ident(n.nspname) FROM pg_publication_namespace s
        JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = p.oid ORDER BY 1)"""
    return tuple(sql.format(**pieces) if sql in _VERSIONED else sql for sql in _QUERIES)
