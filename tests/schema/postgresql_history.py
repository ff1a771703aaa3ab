"""What people can make in a PostgreSQL database: statements, each with every option that leaves something behind."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final


@dataclass(frozen=True)
class Back:
    """The script that takes back the statements in front of it, as far as the last one of its kind."""

    script: str


#: For grants: roles belong to the server, and stay.
ROLES: Final = ("dbmigrate_reader", "dbmigrate_writer")

#: In an order in which they can run; behind those of a migration stands its way back.
HISTORY: Final[tuple[str | Back, ...]] = (
    "CREATE SCHEMA app",
    "COMMENT ON SCHEMA app IS 'where it''s at'",
    "COMMENT ON SCHEMA public IS 'ours'",
    "CREATE EXTENSION citext WITH SCHEMA app",
    "CREATE EXTENSION btree_gist",
    "CREATE EXTENSION earthdistance CASCADE",
    "CREATE EXTENSION postgres_fdw",
    Back(
        "DROP EXTENSION IF EXISTS postgres_fdw, earthdistance, cube, btree_gist, citext; "
        "COMMENT ON SCHEMA public IS 'standard public schema'; DROP SCHEMA app"
    ),
    # Types
    "CREATE COLLATION app.german (provider = icu, locale = 'de-u-kn-true', deterministic = false)",
    "CREATE COLLATION app.posix (locale = 'C')",
    "CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy')",
    "ALTER TYPE mood ADD VALUE 'so so' BEFORE 'happy'",
    "COMMENT ON TYPE mood IS 'how one feels'",
    'CREATE TYPE app.address AS (street text COLLATE "C", zip varchar(10), "where" point, moods mood[])',
    "COMMENT ON TYPE app.address IS 'where to'",
    "COMMENT ON COLUMN app.address.zip IS 'as the post has it'",
    "CREATE FUNCTION app.day_diff(date, date) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT ($1 - $2)::float8'",
    "CREATE TYPE app.days AS RANGE (SUBTYPE = date, SUBTYPE_DIFF = app.day_diff)",
    'CREATE TYPE app.words AS RANGE (SUBTYPE = text, COLLATION = "C", MULTIRANGE_TYPE_NAME = app.many_words)',
    "CREATE DOMAIN app.positive AS integer DEFAULT 1 NOT NULL CONSTRAINT above_zero CHECK (VALUE > 0)",
    "ALTER DOMAIN app.positive ADD CONSTRAINT below CHECK (VALUE < 1000) NOT VALID",
    "COMMENT ON DOMAIN app.positive IS 'more than nothing'",
    "COMMENT ON CONSTRAINT above_zero ON DOMAIN app.positive IS 'why not'",
    'CREATE DOMAIN app.code AS varchar(8) COLLATE "C"',
    Back(
        "DROP DOMAIN app.code, app.positive; DROP TYPE app.words, app.days; DROP FUNCTION app.day_diff; "
        "DROP TYPE app.address, mood; DROP COLLATION IF EXISTS app.posix, app.german"
    ),
    # Sequences
    "CREATE SEQUENCE numbers AS integer INCREMENT BY -2 MINVALUE -100 MAXVALUE 0 START WITH -4 CACHE 5 CYCLE",
    "CREATE SEQUENCE plain",
    "CREATE SEQUENCE app.small AS smallint START 0 MINVALUE 0",
    "COMMENT ON SEQUENCE numbers IS 'down'",
    # Routines
    "CREATE FUNCTION add(a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE "
    "AS 'SELECT a + b'",
    "CREATE FUNCTION add(text, VARIADIC text[]) RETURNS text LANGUAGE sql STABLE AS $$SELECT $1 || '%s'$$",
    """CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
BEGIN
    NEW.changed := now(); -- $$ and ; and % and :name
    RETURN NEW;
END;
$body$""",
    "COMMENT ON FUNCTION add(integer, integer) IS 'one more'",
    "CREATE FUNCTION pairs(n integer, OUT a integer, OUT b text) RETURNS SETOF record LANGUAGE sql COST 7 ROWS 3 "
    "LEAKPROOF AS 'SELECT 1, NULL::text'",
    "CREATE PROCEDURE app.tidy(INOUT n integer) LANGUAGE plpgsql AS 'BEGIN COMMIT; END'",
    "COMMENT ON PROCEDURE app.tidy(integer) IS 'sweep'",
    Back(
        "DROP PROCEDURE app.tidy; DROP FUNCTION pairs, touch, add(text, text[]), add(integer, integer); "
        "DROP SEQUENCE app.small, plain, numbers"
    ),
    "CREATE AGGREGATE app.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0', COMBINEFUNC = int4pl, "
    "MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = integer, MINITCOND = '0', PARALLEL = SAFE)",
    "CREATE AGGREGATE app.lowest(integer) (SFUNC = int4smaller, STYPE = integer, SORTOP = <)",
    "CREATE AGGREGATE app.number(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0')",
    "COMMENT ON AGGREGATE app.total(integer) IS 'all of it'",
    "CREATE FUNCTION app.same(app.address, app.address) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
    "CREATE OPERATOR app.=== (FUNCTION = app.same, LEFTARG = app.address, RIGHTARG = app.address, "
    "COMMUTATOR = OPERATOR(app.===), "
    "RESTRICT = eqsel, JOIN = eqjoinsel)",
    "COMMENT ON OPERATOR app.=== (app.address, app.address) IS 'looks so'",
    "CREATE FUNCTION app.as_text(app.address) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ($1).street'",
    "CREATE CAST (app.address AS text) WITH FUNCTION app.as_text(app.address) AS ASSIGNMENT",
    "CREATE CAST (text AS app.address) WITH INOUT",
    "COMMENT ON CAST (app.address AS text) IS 'as text'",
    "CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = simple, STOPWORDS = english)",
    "CREATE TEXT SEARCH CONFIGURATION app.search (COPY = pg_catalog.simple)",
    "ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR word, asciiword WITH app.plain, simple",
    "COMMENT ON TEXT SEARCH CONFIGURATION app.search IS 'find'",
    Back(
        "DROP TEXT SEARCH CONFIGURATION app.search; DROP TEXT SEARCH DICTIONARY app.plain; "
        "DROP CAST (text AS app.address); DROP CAST (app.address AS text); DROP FUNCTION app.as_text; "
        "DROP OPERATOR app.=== (app.address, app.address); DROP FUNCTION app.same; "
        "DROP AGGREGATE app.number(*), app.lowest(integer), app.total(integer)"
    ),
    # Tables
    """CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 5),
    serial serial,
    email app.citext NOT NULL,
    name varchar(100) COLLATE "C" DEFAULT 'it''s'::varchar,
    home app.address,
    score numeric(10, 2) DEFAULT 0.5 NOT NULL,
    level app.positive DEFAULT 3,
    moods mood[] DEFAULT '{sad}',
    changed timestamptz DEFAULT '2020-01-01 12:00:00+02',
    wait interval DEFAULT '1 day 2 hours',
    weight float8 DEFAULT 0.1::float8 + 0.2::float8,
    raw bytea DEFAULT '\\x00ff',
    born date,
    half integer GENERATED ALWAYS AS (add(1, 2) / 2) STORED,
    CONSTRAINT users_pkey PRIMARY KEY (id) WITH (fillfactor = 70),
    CONSTRAINT users_email_key UNIQUE (email) INCLUDE (name) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT score_counts CHECK (add(score::integer) > 0),
    CONSTRAINT users_wait_key UNIQUE NULLS NOT DISTINCT (wait)
) WITH (fillfactor = 80, autovacuum_enabled = false, toast.autovacuum_enabled = false)""",
    Back("DROP TABLE users"),
    "COMMENT ON TABLE users IS E'two\\nlines'",
    "COMMENT ON COLUMN users.email IS '100% \\ :real; -- \"yes\"'",
    "COMMENT ON CONSTRAINT score_counts ON users IS 'because'",
    "ALTER TABLE users ALTER name SET STORAGE external, ALTER home SET COMPRESSION pglz, ALTER born SET STATISTICS 0",
    "ALTER TABLE users ALTER born SET (n_distinct = 5)",
    "ALTER TABLE users ADD CONSTRAINT later CHECK (born > '1900-01-01') NOT VALID",
    "CREATE UNLOGGED TABLE app.cache (key text PRIMARY KEY, value jsonb DEFAULT '{\"a\": 1}')",
    """CREATE TABLE app.orders (
    id integer GENERATED BY DEFAULT AS IDENTITY,
    user_id bigint REFERENCES users ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE,
    span tstzrange,
    room integer,
    note text,
    PRIMARY KEY (id, room),
    CONSTRAINT orders_room_span_excl EXCLUDE USING gist (room WITH =, span WITH &&) WHERE (room > 0)
)""",
    Back(
        "DROP TABLE app.orders, app.cache; "
        "ALTER TABLE users DROP CONSTRAINT later, ALTER born RESET (n_distinct), ALTER born SET STATISTICS -1; "
        "ALTER TABLE users ALTER home SET COMPRESSION default, ALTER name SET STORAGE extended; "
        "COMMENT ON CONSTRAINT score_counts ON users IS NULL; COMMENT ON COLUMN users.email IS NULL; "
        "COMMENT ON TABLE users IS NULL"
    ),
    "ALTER TABLE app.orders ADD CONSTRAINT checked_later FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID",
    "CREATE TABLE app.lines (id integer, room integer, data jsonb, "
    "FOREIGN KEY (id, room) REFERENCES app.orders MATCH FULL ON DELETE SET NULL (room))",
    "ALTER TABLE app.orders ADD self integer, ADD self_room integer, "
    "ADD FOREIGN KEY (self, self_room) REFERENCES app.orders",
    "CREATE TABLE app.like_address OF app.address (street WITH OPTIONS DEFAULT 'Main' NOT NULL, CHECK (zip <> ''))",
    "CREATE TABLE parent (id integer PRIMARY KEY, what text DEFAULT 'x', CHECK (id > 0), CHECK (id < 9) NO INHERIT)",
    "CREATE TABLE other_parent (id integer, other date)",
    "CREATE TABLE child (mine integer, CHECK (mine > 1)) INHERITS (parent, other_parent)",
    Back(
        "DROP TABLE child, other_parent, parent, app.like_address; "
        "ALTER TABLE app.orders DROP self, DROP self_room; DROP TABLE app.lines; "
        "ALTER TABLE app.orders DROP CONSTRAINT checked_later"
    ),
    "ALTER TABLE child ALTER what SET DEFAULT 'y'",
    "COMMENT ON COLUMN child.other IS 'only here'",
    "CREATE TABLE nothing ()",
    "CREATE TABLE settings (key text NOT NULL, value text)",
    "CREATE UNIQUE INDEX settings_key ON settings (key)",
    Back(
        "DROP TABLE settings, nothing; COMMENT ON COLUMN child.other IS NULL; "
        "ALTER TABLE child ALTER what SET DEFAULT 'x'"
    ),
    "ALTER TABLE settings REPLICA IDENTITY USING INDEX settings_key, CLUSTER ON settings_key",
    "ALTER TABLE app.lines REPLICA IDENTITY FULL",
    # Partitions
    """CREATE TABLE events (
    id bigint GENERATED BY DEFAULT AS IDENTITY, at timestamptz NOT NULL, kind text DEFAULT 'k', user_id bigint,
    PRIMARY KEY (id, at), FOREIGN KEY (user_id) REFERENCES users, CHECK (kind <> '')
) PARTITION BY RANGE (at)""",
    "CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2025-01-01 00:00+00')",
    "CREATE TABLE events_2025 PARTITION OF events (kind DEFAULT 'new', CONSTRAINT own CHECK (user_id > 1)) "
    "FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00') PARTITION BY RANGE (id, at)",
    "CREATE TABLE events_2025_a PARTITION OF events_2025 FOR VALUES FROM (MINVALUE, MINVALUE) TO (10, MAXVALUE)",
    "CREATE TABLE app.events_rest PARTITION OF events DEFAULT",
    "CREATE TABLE attached (kind text, user_id bigint, at timestamptz NOT NULL, id bigint NOT NULL, "
    "CONSTRAINT events_kind_check CHECK (kind <> ''))",
    Back(
        "DROP TABLE attached, events; ALTER TABLE app.lines REPLICA IDENTITY DEFAULT; "
        "ALTER TABLE settings REPLICA IDENTITY DEFAULT, SET WITHOUT CLUSTER"
    ),
    "ALTER TABLE events ATTACH PARTITION attached FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00')",
    "CREATE INDEX events_kind ON events (kind)",
    "CREATE INDEX own_index ON events_2024 (user_id)",
    "COMMENT ON CONSTRAINT events_kind_check ON events_2025 IS 'as above'",
    "COMMENT ON CONSTRAINT events_2025_pkey ON events_2025 IS 'its own'",
    "COMMENT ON INDEX events_2025_pkey IS 'and its index'",
    "COMMENT ON INDEX users_email_key IS 'who else'",
    "COMMENT ON INDEX events_2025_kind_idx IS 'a part'",
    "ALTER INDEX events_2025_a_kind_idx SET (fillfactor = 55)",
    "ALTER INDEX events_2025_a_pkey SET (fillfactor = 44)",
    "CREATE INDEX events_full ON events (id) WITH (fillfactor = 90)",
    "ALTER INDEX events_2025_a_id_idx RESET (fillfactor)",
    "CREATE INDEX adopted ON events_2024 (kind, id)",
    "CREATE INDEX events_two ON events (kind, id)",
    "COMMENT ON INDEX adopted IS 'was here'",
    "ALTER SEQUENCE events_id_seq AS integer",
    'CREATE TABLE listed (kind text, "Of" integer) PARTITION BY LIST (lower(kind))',
    "CREATE TABLE listed_a PARTITION OF listed FOR VALUES IN ('a', 'b', NULL)",
    "CREATE TABLE hashed (id integer) PARTITION BY HASH (id)",
    "CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (modulus 2, remainder 0)",
    "CREATE INDEX hashed_id ON ONLY hashed (id)",
    Back(
        "DROP TABLE hashed, listed; ALTER SEQUENCE events_id_seq AS bigint; DROP INDEX events_two, events_full; "
        "ALTER INDEX events_2025_a_pkey RESET (fillfactor); COMMENT ON INDEX users_email_key IS NULL; "
        "COMMENT ON INDEX events_2025_pkey IS NULL; "
        "COMMENT ON CONSTRAINT events_2025_pkey ON events_2025 IS NULL; "
        "COMMENT ON CONSTRAINT events_kind_check ON events_2025 IS NULL; DROP INDEX own_index, events_kind; "
        "ALTER TABLE events DETACH PARTITION attached; "
        "ALTER TABLE attached DROP CONSTRAINT attached_pkey, DROP CONSTRAINT events_user_id_fkey"
    ),
    # Foreign data
    "CREATE FOREIGN DATA WRAPPER nobody OPTIONS (debug 'true')",
    "CREATE SERVER elsewhere TYPE 'x' VERSION '1' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'it''s', dbname 'b')",
    "CREATE FOREIGN TABLE app.far (id integer OPTIONS (column_name 'ID') NOT NULL, CHECK (id > 0)) SERVER elsewhere "
    "OPTIONS (table_name 'x')",
    "COMMENT ON FOREIGN TABLE app.far IS 'away'",
    "COMMENT ON SERVER elsewhere IS 'there'",
    # Indexes
    "CREATE INDEX users_lower ON users (lower(name) DESC NULLS LAST, born) INCLUDE (score) WITH (fillfactor = 60) "
    "WHERE born IS NOT NULL AND name LIKE 'a%'",
    "CREATE INDEX users_name ON users USING hash (name)",
    "CREATE INDEX lines_data ON app.lines USING gin (data jsonb_path_ops)",
    'CREATE INDEX users_collated ON users (name COLLATE "POSIX" text_pattern_ops)',
    "ALTER INDEX users_lower ALTER COLUMN 1 SET STATISTICS 77",
    "COMMENT ON INDEX users_lower IS 'quick'",
    "CREATE STATISTICS app.users_stat (dependencies, ndistinct) ON born, score FROM users",
    "ALTER STATISTICS app.users_stat SET STATISTICS 50",
    "CREATE STATISTICS lines_stat ON (id + 1) FROM app.lines",
    "COMMENT ON STATISTICS lines_stat IS 'guess'",
    Back(
        "DROP STATISTICS lines_stat, app.users_stat; "
        "DROP INDEX users_collated, app.lines_data, users_name, users_lower; DROP FOREIGN TABLE app.far; "
        "DROP SERVER elsewhere; DROP FOREIGN DATA WRAPPER nobody"
    ),
    # Views
    "CREATE VIEW grown AS SELECT u.*, o.note FROM users u LEFT JOIN app.orders o ON o.user_id = u.id",
    "CREATE VIEW app.grouped WITH (security_barrier = true) AS SELECT id, email, count(*) AS n FROM users GROUP BY id",
    "CREATE VIEW editable AS SELECT id, name FROM users WHERE name <> '' WITH CASCADED CHECK OPTION",
    "ALTER VIEW editable ALTER COLUMN name SET DEFAULT 'nobody'",
    "COMMENT ON VIEW editable IS 'edit'",
    "COMMENT ON COLUMN editable.name IS 'who'",
    "CREATE VIEW on_view AS SELECT name FROM grown UNION ALL SELECT email::text FROM app.grouped",
    "CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 9",
    "CREATE MATERIALIZED VIEW app.sums WITH (fillfactor = 50) AS SELECT room, count(*) AS n FROM app.orders GROUP BY 1",
    "CREATE UNIQUE INDEX sums_room ON app.sums (room)",
    "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS one WITH NO DATA",
    "ALTER MATERIALIZED VIEW empty ALTER COLUMN one SET STATISTICS 9",
    "COMMENT ON MATERIALIZED VIEW empty IS 'not yet'",
    "CREATE FUNCTION first_user() RETURNS users LANGUAGE sql BEGIN ATOMIC SELECT * FROM users LIMIT 1; END",
    Back(
        "DROP FUNCTION first_user; DROP MATERIALIZED VIEW empty, app.sums; "
        "DROP VIEW counting, on_view, editable, app.grouped, grown"
    ),
    # What watches over them
    "CREATE TRIGGER touched BEFORE INSERT OR UPDATE OF name ON users FOR EACH ROW WHEN (NEW.name <> '') "
    "EXECUTE FUNCTION touch()",
    "CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
    "EXECUTE FUNCTION touch()",
    "CREATE TRIGGER moved AFTER UPDATE ON app.orders REFERENCING OLD TABLE AS before NEW TABLE AS after "
    "FOR EACH STATEMENT EXECUTE FUNCTION touch('x', '%')",
    "CREATE TRIGGER instead INSTEAD OF INSERT ON grown FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE TRIGGER each_event AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION touch()",
    Back(
        "DROP TRIGGER each_event ON events; DROP TRIGGER instead ON grown; DROP TRIGGER moved ON app.orders; "
        "DROP TRIGGER deferred ON users; DROP TRIGGER touched ON users"
    ),
    "ALTER TABLE events_2024 DISABLE TRIGGER each_event",
    "ALTER TABLE users DISABLE TRIGGER deferred",
    "ALTER TABLE users ENABLE ALWAYS TRIGGER touched",
    "COMMENT ON TRIGGER touched ON users IS 'when'",
    "CREATE RULE no_delete AS ON DELETE TO settings DO INSTEAD NOTHING",
    "CREATE RULE logged AS ON INSERT TO settings DO ALSO (NOTIFY a; NOTIFY b)",
    Back(
        "DROP RULE logged ON settings; DROP RULE no_delete ON settings; "
        "COMMENT ON TRIGGER touched ON users IS NULL; "
        "ALTER TABLE users ENABLE TRIGGER touched, ENABLE TRIGGER deferred; "
        "ALTER TABLE events_2024 ENABLE TRIGGER each_event"
    ),
    "ALTER TABLE settings ENABLE REPLICA RULE logged",
    "COMMENT ON RULE no_delete ON settings IS 'stays'",
    "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "CREATE POLICY own ON app.orders AS RESTRICTIVE FOR UPDATE TO dbmigrate_reader, dbmigrate_writer "
    "USING (user_id > 0) WITH CHECK (note <> current_user)",
    "CREATE POLICY everybody ON app.orders",
    "COMMENT ON POLICY own ON app.orders IS 'theirs'",
    Back(
        "DROP POLICY everybody ON app.orders; DROP POLICY own ON app.orders; "
        "ALTER TABLE app.orders NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY; "
        "COMMENT ON RULE no_delete ON settings IS NULL; ALTER TABLE settings ENABLE RULE logged"
    ),
    # Rights
    "GRANT USAGE ON SCHEMA app TO dbmigrate_reader",
    "GRANT SELECT, UPDATE (name, email), INSERT ON users TO dbmigrate_writer",
    "GRANT SELECT ON users TO dbmigrate_reader WITH GRANT OPTION",
    "GRANT SELECT ON grown, app.sums, app.far TO PUBLIC",
    "REVOKE DELETE ON users FROM CURRENT_USER",
    "GRANT USAGE ON SEQUENCE numbers, users_id_seq TO dbmigrate_writer",
    "REVOKE EXECUTE ON FUNCTION add(integer, integer) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION add(integer, integer) TO dbmigrate_reader",
    "REVOKE ALL ON PROCEDURE app.tidy(integer) FROM PUBLIC",
    "REVOKE ALL ON FUNCTION app.number() FROM PUBLIC",
    "REVOKE USAGE ON TYPE mood FROM PUBLIC",
    "GRANT USAGE ON FOREIGN SERVER elsewhere TO dbmigrate_reader",
    "CREATE SERVER app FOREIGN DATA WRAPPER nobody",
    "GRANT USAGE ON FOREIGN SERVER app TO dbmigrate_reader",
    "GRANT USAGE ON FOREIGN DATA WRAPPER nobody TO dbmigrate_reader",
    "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO dbmigrate_reader WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE dbmigrate_writer GRANT USAGE ON SEQUENCES TO dbmigrate_reader",
    Back(
        "ALTER DEFAULT PRIVILEGES FOR ROLE dbmigrate_writer REVOKE USAGE ON SEQUENCES FROM dbmigrate_reader; "
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC; "
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM dbmigrate_reader; "
        "GRANT USAGE ON SCHEMA public TO PUBLIC; "
        "REVOKE USAGE ON FOREIGN DATA WRAPPER nobody FROM dbmigrate_reader; DROP SERVER app; "
        "REVOKE USAGE ON FOREIGN SERVER elsewhere FROM dbmigrate_reader; GRANT USAGE ON TYPE mood TO PUBLIC; "
        "GRANT EXECUTE ON FUNCTION app.number() TO PUBLIC; "
        "GRANT EXECUTE ON PROCEDURE app.tidy(integer) TO PUBLIC; "
        "REVOKE EXECUTE ON FUNCTION add(integer, integer) FROM dbmigrate_reader; "
        "GRANT EXECUTE ON FUNCTION add(integer, integer) TO PUBLIC; "
        "REVOKE USAGE ON SEQUENCE numbers, users_id_seq FROM dbmigrate_writer; "
        "GRANT DELETE ON users TO CURRENT_USER; REVOKE SELECT ON grown, app.sums, app.far FROM PUBLIC; "
        "REVOKE SELECT ON users FROM dbmigrate_reader; "
        "REVOKE SELECT, UPDATE (name, email), INSERT ON users FROM dbmigrate_writer; "
        "REVOKE USAGE ON SCHEMA app FROM dbmigrate_reader"
    ),
    # What listens
    "CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert', publish_via_partition_root)",
    "CREATE PUBLICATION a_few FOR TABLE users (id, email), settings WHERE (key <> 'x')",
    "CREATE PUBLICATION of_app FOR TABLES IN SCHEMA app, TABLE settings",
    "CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE VIEW', 'ALTER VIEW') "
    "EXECUTE FUNCTION app.watch()",
    "ALTER EVENT TRIGGER watch ENABLE REPLICA",
    # Odd names
    'CREATE SCHEMA "Odd, 50%"',
    'CREATE TABLE "Odd, 50%"."a.b ""c"" :d %s" ("Sp ace" integer PRIMARY KEY, "ünï" text DEFAULT \':x %\', '
    '"select" integer CHECK ("select" > 1), ": % "" \' \\" text)',
    'CREATE INDEX "i USING (x) ""y""" ON "Odd, 50%"."a.b ""c"" :d %s" ("ünï") WHERE "select" % 2 = 0',
    'CREATE FUNCTION "Odd, 50%"."f (x)"("A b" integer) RETURNS integer LANGUAGE sql AS \'SELECT 1\'',
    "CREATE TYPE \"Odd, 50%\".\"Énum\" AS ENUM ('a, b', '(c)', '%s', '')",
    'CREATE TABLE "User" ("Order" "Odd, 50%"."Énum" DEFAULT \'%s\' UNIQUE, "table" serial)',
    'COMMENT ON COLUMN "User"."Order" IS \'%(x)s\'',
    'CREATE VIEW "Odd, 50%"."V" AS SELECT "Order" AS ": %" FROM "User"',
    Back(
        'DROP VIEW "Odd, 50%"."V"; DROP TABLE "User"; DROP SCHEMA "Odd, 50%" CASCADE; DROP EVENT TRIGGER watch; '
        "DROP FUNCTION app.watch; DROP PUBLICATION of_app, a_few, everything"
    ),
)

#: What the server writes in other words once it has read its own.
LISTS: Final = (
    "CREATE DOMAIN colour AS varchar(9) CHECK (VALUE IN ('red', 'blue'))",
    """CREATE TABLE lists (
    v varchar(10) CHECK (v IN ('a', 'it''s', '(ARRAY[x])::text[]')),
    w varchar CHECK (w NOT IN ('a', 'b')),
    l varchar CHECK (l = ANY (ARRAY['x', lower('Y')]::varchar[])),
    n numeric CHECK (n IN (1, 2.5)),
    r real CHECK (r NOT IN (1.5, 2)),
    c colour CHECK (c IN ('red', 'pink')),
    d varchar[] DEFAULT ARRAY['a', 'b']::varchar[],
    m text[] DEFAULT ARRAY[ARRAY['a'::varchar, 'b'], ARRAY['c', 'd']],
    o text[] DEFAULT ARRAY['a', 'b']::varchar[],
    g boolean GENERATED ALWAYS AS (w IN ('c', 'd')) STORED
)""",
    "CREATE INDEX lists_some ON lists (v) WHERE v IN ('a', 'b')",
    "CREATE INDEX lists_whether ON lists ((w IN ('a', 'b')))",
    "CREATE VIEW listing AS SELECT CASE WHEN v IN ('a', 'b') THEN 1 END AS x FROM lists WHERE w NOT IN ('c', 'd')",
    "CREATE POLICY listed ON lists USING (v IN ('a', 'b')) WITH CHECK (v NOT IN ('c', 'd'))",
    "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER guarded BEFORE INSERT ON lists FOR EACH ROW WHEN (NEW.v IN ('a', 'b')) EXECUTE FUNCTION guard()",
    "CREATE RULE ruled AS ON UPDATE TO lists WHERE NEW.v IN ('a', 'b') DO INSTEAD NOTHING",
    "CREATE STATISTICS lists_stat ON (v IN ('a', 'b')), w FROM lists",
    "CREATE FUNCTION in_list(a varchar, b boolean DEFAULT 'x'::varchar IN ('x', 'y')) RETURNS boolean LANGUAGE sql "
    "AS 'SELECT (ARRAY[''a''::varchar])::text[] IS NULL'",
    "CREATE TABLE parts (v varchar) PARTITION BY LIST ((v IN ('a', 'b')))",
)
#: BETWEEN with something behind it, which the server writes in two ways as well; and VALUES.
RANGES: Final = (
    "CREATE DOMAIN few AS integer DEFAULT CASE WHEN 3 BETWEEN 1 AND 5 AND 4 > 0 THEN 1 END "
    "CHECK (VALUE BETWEEN 1 AND 5 AND VALUE <> 3)",
    """CREATE TABLE ranges (
    n integer CHECK (n BETWEEN 1 AND 5 AND n <> 3 AND (n > 0 AND n < 9) OR n NOT BETWEEN 2 AND 3 OR (n = 1 OR n = 2)),
    m integer CONSTRAINT m CHECK (NOT (m BETWEEN SYMMETRIC 5 AND 1 OR m = 7) AND m NOT IN (1, 2) AND m > 0),
    w varchar CHECK (w BETWEEN '(a AND b)' AND 'b) AND c' AND w IN ('a', 'b)')),
    d boolean DEFAULT (1 BETWEEN 1 AND 5 AND 3 > 0),
    g boolean GENERATED ALWAYS AS (n BETWEEN 1 AND 5 AND n > 0) STORED,
    EXCLUDE USING btree (m WITH =) WHERE (n BETWEEN 1 AND 5 AND n <> 3)
)""",
    "CREATE INDEX ranges_some ON ranges (n) WHERE n BETWEEN 1 AND 5 AND m > 0",
    "CREATE INDEX ranges_whether ON ranges ((n BETWEEN 1 AND 5 AND m > 0))",
    "CREATE VIEW ranging AS SELECT a.n, CASE WHEN a.n BETWEEN 1 AND 2 AND a.m = 1 THEN 'x' END AS x, count(*) FILTER "
    "(WHERE b.n BETWEEN 1 AND 2 AND b.m = 1) OVER (ORDER BY a.n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS y "
    "FROM ranges a JOIN ranges b ON b.n BETWEEN 1 AND 3 AND b.m = a.m WHERE a.n BETWEEN 1 AND 5 AND a.n <> 3",
    "CREATE VIEW two (x, y) AS VALUES (1, 'VALUES (1'), (2, 'b')",
    "CREATE POLICY ranged ON ranges USING (n BETWEEN 1 AND 5 AND n <> 3) WITH CHECK (n NOT BETWEEN 1 AND 5 OR n = 3)",
    "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER watched BEFORE INSERT ON ranges FOR EACH ROW WHEN (NEW.n BETWEEN 1 AND 5 AND NEW.n <> 3) "
    "EXECUTE FUNCTION watch()",
    "CREATE RULE ruled AS ON UPDATE TO ranges WHERE NEW.n BETWEEN 1 AND 5 AND NEW.n <> 3 DO INSTEAD NOTHING",
    "CREATE STATISTICS ranges_stat ON (n BETWEEN 1 AND 5 AND n <> 3), m FROM ranges",
    "CREATE FUNCTION in_range(a integer, b boolean DEFAULT 3 BETWEEN 1 AND 5 AND 2 > 0) RETURNS boolean LANGUAGE sql "
    "BEGIN ATOMIC SELECT a BETWEEN 1 AND 5 AND a <> 3; END",
    "CREATE TABLE slices (n integer) PARTITION BY LIST ((n BETWEEN 1 AND 5 AND n <> 3))",
    "CREATE PUBLICATION ranged FOR TABLE ranges WHERE (n BETWEEN 1 AND 5 AND n <> 3)",
)

#: What only later servers know.
LATER: Final[dict[int, tuple[str | Back, ...]]] = {
    15: ("ALTER SEQUENCE app.orders_id_seq SET UNLOGGED", Back("ALTER SEQUENCE app.orders_id_seq SET LOGGED")),
    16: (
        "ALTER TABLE settings ALTER key SET STORAGE plain",
        Back("ALTER TABLE settings ALTER key SET STORAGE extended"),
    ),
    17: (
        "CREATE TABLE chain (id bigint GENERATED ALWAYS AS IDENTITY, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE chain_1 PARTITION OF chain FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE COLLATION app.built_in (provider = builtin, locale = 'C.UTF-8')",
        Back("DROP COLLATION app.built_in; DROP TABLE chain"),
        "GRANT MAINTAIN ON chain TO dbmigrate_reader",
        Back("REVOKE MAINTAIN ON chain FROM dbmigrate_reader"),
    ),
    18: (
        """CREATE TABLE newest (
    a integer CONSTRAINT a_must_be NOT NULL,
    b integer NOT NULL NO INHERIT,
    c integer,
    half integer GENERATED ALWAYS AS (a / 2),
    what int4range,
    span int4range,
    CONSTRAINT loose CHECK (a > 0) NOT ENFORCED,
    PRIMARY KEY (what, span WITHOUT OVERLAPS)
)""",
        Back("DROP TABLE newest"),
        "ALTER TABLE newest ADD CONSTRAINT c_must_be NOT NULL c NOT VALID",
        "CREATE TABLE of_newest (a integer, what int4range, span int4range, "
        "FOREIGN KEY (what, PERIOD span) REFERENCES newest (what, PERIOD span), "
        "FOREIGN KEY (a) REFERENCES parent NOT ENFORCED)",
        "CREATE PUBLICATION generated FOR TABLE newest WITH (publish_generated_columns = stored)",
        Back("DROP PUBLICATION generated; DROP TABLE of_newest; ALTER TABLE newest DROP CONSTRAINT c_must_be"),
    ),
}

#: What a server without contrib has instead.
_INSTEAD: Final = {"app.citext": "text", "room WITH =, ": "", "WRAPPER postgres_fdw": "WRAPPER nobody"}


def steps(version: int, extensions: set[str]) -> list[tuple[list[str], str]]:
    """What a server of that version can run, with these extensions (some bring none, and no ICU), and the ways back."""
    later = chain.from_iterable(more for since, more in LATER.items() if since <= version)
    found, statements = list[tuple[list[str], str]](), list[str]()
    for item in (*HISTORY, *later):
        if isinstance(item, Back):
            found.append((statements, item.script))
            statements = []
        elif "citext" in extensions:
            statements.append(item)
        elif not item.startswith("CREATE EXTENSION") and "icu" not in item:
            sql = item
            for old, new in _INSTEAD.items():
                sql = sql.replace(old, new)
            statements.append(sql)
    return found


def history(version: int, extensions: set[str]) -> list[str]:
    """The statements alone."""
    return [sql for statements, _ in steps(version, extensions) for sql in statements]
