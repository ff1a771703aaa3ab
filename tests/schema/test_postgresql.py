"""PostgreSQL's catalogue: everything is in a snapshot, nothing else is, and a script makes it again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS
from sqlalchemy.exc import DBAPIError

from dbmigrate import MemorySource, Migrator, sql_migration
from dbmigrate.dialects.base import rows, send
from dbmigrate.dialects.postgresql_catalogue import settled
from dbmigrate.dialects.postgresql_clauses import quoted
from dbmigrate.dialects.postgresql_queries import queries
from dbmigrate.dialects.postgresql_script import script
from dbmigrate.schema import Snapshot, diff, snapshot
from tests.schema.postgresql_history import LISTS, RANGES, ROLES, history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from tests.conftest import Database

pytestmark = pytest.mark.default_driver


def make_roles(database: Database) -> None:
    """Make the roles that rights are given to; they belong to the server, and another test may be at it too."""
    for role in ROLES:
        database.execute(
            f"DO $$BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN END$$"
        )


@pytest.fixture
def full(postgresql: Database) -> Database:
    """A database with all that a server can have."""
    make_roles(postgresql)
    [(version,)] = postgresql.query("SELECT current_setting('server_version_num')::int / 10000")
    extensions = {name for (name,) in postgresql.query("SELECT name FROM pg_available_extensions")}
    postgresql.execute(*history(version, extensions))
    return postgresql


def taken(database: Database) -> Snapshot:
    """A snapshot, over a connection of its own."""
    with database.engine().connect() as connection:
        return snapshot(connection)


def made_by(database: Database, text: str) -> Snapshot:
    """The snapshot of what a script makes in another, empty database."""
    other = database.another()
    Migrator(other.url, MemorySource([sql_migration("1", "script", text)])).upgrade()
    return taken(other)


def test_an_empty_database_has_a_schema(postgresql: Database) -> None:
    """It came with the database, and can be dropped."""
    assert "schema public\n" == str(taken(postgresql))


def test_every_kind_survives_json_and_a_script(full: Database) -> None:
    """Two snapshots are equal, whoever takes them, and so is that of what the script makes."""
    found = taken(full)

    assert found == taken(full)
    assert found == Snapshot.from_dict(json.loads(json.dumps(found.to_dict())))
    again = made_by(full, script(found))
    assert (diff(found, again), found) == ((), again)
    assert (str(found), script(found)) == (str(again), script(again))
    assert "migrations" not in str(found)


def test_what_is_in_a_list_can_be_said_in_two_ways(postgresql: Database) -> None:
    """The server casts all of it, and once it has read its own words each of it; a text that looks so stays."""
    postgresql.execute(*LISTS, *RANGES)
    found = taken(postgresql)
    text = script(found)
    again = made_by(postgresql, text)

    assert (diff(found, again), str(found)) == ((), str(again))
    assert text == script(again)
    assert "CHECK (((v)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s'::character varying)::text" in text
    assert "'(ARRAY[x])::text[]'" in text
    assert "(ARRAY['a'::varchar])::text[] IS NULL" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(ARRAY['a'::x, b])::\"T x\"[]", 'ARRAY[(\'a\'::x)::"T x", (b)::"T x"]'),
        ("((ARRAY[1, 2])::app.t(3)[])[1]", "(ARRAY[(1)::app.t(3), (2)::app.t(3)])[1]"),
        ("(ARRAY[ARRAY['a'::x], ARRAY[b]])::text[]", "ARRAY[ARRAY[('a'::x)::text], ARRAY[(b)::text]]"),
        (
            "(ARRAY['x'::a, (f((ARRAY[',)]'::b, c])::d[]))::a])::e[]",
            "ARRAY[('x'::a)::e, ((f(ARRAY[(',)]'::b)::d, (c)::d]))::a)::e]",
        ),
        # What could be arrays, a call, what is in quotes, and what is no SQL
        *(
            (text, text)
            for text in (
                *("(ARRAY[a, b])::text[]", "(ARRAY['{}'::x[], a])::text[]", "f(ARRAY['a'::x])::text[]"),
                *("'(ARRAY[1])::text[]'", "(ARRAY[1])::domain", "(ARRAY[])::text[]", "'(ARRAY[1])::text[]"),
            )
        ),
    ],
)
def test_an_array_that_is_cast(text: str, expected: str) -> None:
    """Each of its elements is, unless they could be arrays."""
    assert settled(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("((a AND b) AND c)", "(a AND b AND c)"),
        ("f((((a OR b) OR c) OR ((d AND e) AND g)))", "f((a OR b OR c OR (d AND e AND g)))"),
        (
            "(((n >= 1) AND (n <= 5)) AND ((m >= 1) AND (m <= 5)))",
            "((n >= 1) AND (n <= 5) AND ((m >= 1) AND (m <= 5)))",
        ),
        (
            "((a AND b) AND ((v)::text = ANY ((ARRAY['a'::varchar, 'b) AND c'::varchar])::text[])))",
            "(a AND b AND ((v)::text = ANY (ARRAY[('a'::varchar)::text, ('b) AND c'::varchar)::text])))",
        ),
        ("FROM (VALUES (1), (2)) x", "FROM ( VALUES (1), (2)) x"),
        # What means something else, is read so, is in quotes, and is no SQL
        *(
            (text, text)
            for text in (
                *("((a OR b) AND c)", "(a AND (b AND c))", "(f(a AND b) AND c)", "((a AND b)::text AND c)"),
                *("'((a AND b) AND c)'", '"((a AND b) AND c)"', "((NOT (a AND b)) AND c)", "((a AND b) AND '"),
                *("(count(*) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AND b)", "'(VALUES (1))'"),
            )
        ),
    ],
)
def test_a_chain(text: str, expected: str) -> None:
    """What stands first in it, and is one of the same kind, is a part of it."""
    assert settled(text) == expected


def test_a_dump_that_is_restored_makes_no_difference(postgresql: Database) -> None:
    """With the programs that come with the server."""
    [(version,)] = postgresql.query("SELECT current_setting('server_version_num')::int / 10000")
    dump, load = shutil.which("pg_dump"), shutil.which("psql")
    if not dump or not load:
        pytest.skip("pg_dump or psql is not installed")
    said = subprocess.run([dump, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.split()[2].partition(".")[0]) < version:
        pytest.skip("pg_dump is older than the server")
    postgresql.execute(*LISTS, *RANGES)
    other = postgresql.another()
    url = postgresql.url_for("psycopg")
    place = {"PGHOST": str(url.query["host"]), "PGPORT": str(url.query["port"]), "PGUSER": str(url.username)}
    options: dict[str, Any] = {"env": os.environ | place, "capture_output": True}
    text = subprocess.run([dump, postgresql.name], check=True, **options).stdout
    # A later pg_dump sets more than the server knows: it goes on then.
    subprocess.run([load, "-X", "-q", "-d", other.name], input=text, check=True, **options)

    assert diff(taken(postgresql), taken(other)) == ()


@pytest.mark.every_driver
def test_drivers_give_the_same(postgresql: Database) -> None:
    """Arrays and names come in different ways."""
    postgresql.execute(
        "CREATE TABLE t (id integer PRIMARY KEY, a text DEFAULT '%s %% :x' CHECK (a LIKE 'a%'))",
        "CREATE TYPE mood AS ENUM ('x', 'it''s, \"y\"')",
        "GRANT SELECT ON t TO PUBLIC",
    )
    default = postgresql.engine("psycopg")
    with default.connect() as connection:
        assert snapshot(connection).to_dict() == taken(postgresql).to_dict()


#: What was done by hand, to what, and what must be said of it.
DRIFTS: Final[Sequence[tuple[str, str, Sequence[str]]]] = (
    # Columns
    ("ALTER TABLE users ALTER score SET DEFAULT 1", "column public.users.score", ["default: 0.5 -> 1"]),
    ("ALTER TABLE users ALTER score DROP DEFAULT", "column public.users.score", ["default: 0.5 -> none"]),
    ("ALTER TABLE users ALTER born SET NOT NULL", "column public.users.born", ["not null: none -> yes"]),
    ("ALTER TABLE users ALTER email DROP NOT NULL", "column public.users.email", ["not null: yes -> none"]),
    (
        "ALTER TABLE app.address_book ALTER zip TYPE varchar(20)",
        "column app.address_book.zip",
        ["character varying(10) -> character varying(20)"],
    ),
    ("ALTER TABLE app.cache ADD more text", "column app.cache.more", ["is new"]),
    ("ALTER TABLE app.cache DROP value", "column app.cache.value", ["is gone"]),
    ("COMMENT ON COLUMN users.born IS 'x'", "column public.users.born", ["comment: none -> x"]),
    ("ALTER TABLE users ALTER id SET GENERATED BY DEFAULT", "column public.users.id", ["ALWAYS -> BY DEFAULT"]),
    ("ALTER SEQUENCE users_id_seq AS integer", "column public.users.id", ["identity type: none -> integer"]),
    ("ALTER TABLE users ALTER id SET INCREMENT BY 7", "column public.users.id", ["identity options", "BY 7"]),
    ("ALTER TABLE users ALTER half DROP EXPRESSION", "column public.users.half", ["generated: (public.add"]),
    ("ALTER TABLE users ALTER name SET STORAGE main", "column public.users.name", ["storage: external -> main"]),
    ("ALTER TABLE users ALTER born SET STATISTICS 9", "column public.users.born", ["statistics: 0 -> 9"]),
    (
        'ALTER TABLE app.cache ALTER value DROP DEFAULT, ALTER value TYPE text COLLATE "C"',
        "column app.cache.value",
        ['collation: none -> "C"', "jsonb -> text"],
    ),
    ("ALTER TABLE attached ALTER kind SET NOT NULL", "column public.attached.kind", ["not null: none -> yes"]),
    ("ALTER FOREIGN TABLE app.far ALTER id OPTIONS (SET column_name 'x')", "column app.far.id", ["column_name=x"]),
    # Tables
    ("CREATE TABLE fresh (id integer PRIMARY KEY)", "table public.fresh", ["is new"]),
    ("DROP TABLE nothing", "table public.nothing", ["is gone"]),
    ("ALTER TABLE app.cache SET LOGGED", "table app.cache", ["unlogged: yes -> none"]),
    ("COMMENT ON TABLE users IS 'x'", "table public.users", ["+ x"]),
    ("ALTER TABLE users SET (fillfactor = 50)", "table public.users", ["fillfactor=50"]),
    ("ALTER TABLE app.orders NO FORCE ROW LEVEL SECURITY", "table app.orders", ["force row security: yes -> none"]),
    ("ALTER TABLE app.orders DISABLE ROW LEVEL SECURITY", "table app.orders", ["row security: yes -> none"]),
    ("ALTER TABLE settings REPLICA IDENTITY FULL", "table public.settings", ["settings_key -> FULL"]),
    ("ALTER TABLE settings SET WITHOUT CLUSTER", "table public.settings", ["cluster on: settings_key -> none"]),
    (
        "ALTER TABLE listed DETACH PARTITION listed_a;; "
        "ALTER TABLE listed ATTACH PARTITION listed_a FOR VALUES IN ('a', 'c', NULL)",
        "table public.listed_a",
        ["bound: FOR VALUES IN ('a', 'b', NULL) -> FOR VALUES IN ('a', 'c', NULL)"],
    ),
    ("CREATE TABLE listed_b PARTITION OF listed DEFAULT", "table public.listed_b", ["is new"]),
    # Keys and checks
    ("ALTER TABLE users DROP CONSTRAINT score_counts", "check public.users.score_counts", ["is gone"]),
    ("ALTER TABLE users DROP CONSTRAINT users_email_key", "unique public.users.users_email_key", ["is gone"]),
    ("ALTER TABLE users VALIDATE CONSTRAINT later", "check public.users.later", ["NOT VALID ->"]),
    ("ALTER TABLE app.cache ADD CHECK (key <> '')", "check app.cache.cache_key_check", ["is new", "<> ''"]),
    ("ALTER TABLE app.cache DROP CONSTRAINT cache_pkey", "primary key app.cache.cache_pkey", ["is gone"]),
    (
        "ALTER TABLE app.orders ALTER CONSTRAINT orders_user_id_fkey INITIALLY DEFERRED",
        "foreign key app.orders.orders_user_id_fkey",
        ["INITIALLY DEFERRED"],
    ),
    (
        "ALTER TABLE app.orders DROP CONSTRAINT orders_room_span_excl",
        "exclusion app.orders.orders_room_span_excl",
        ["is gone", "EXCLUDE USING gist"],
    ),
    ("COMMENT ON CONSTRAINT users_pkey ON users IS 'x'", "primary key public.users.users_pkey", ["comment: none -> x"]),
    ("ALTER DOMAIN app.positive DROP CONSTRAINT above_zero", "check app.positive.above_zero", ["is gone"]),
    # Indexes
    (
        "DROP INDEX users_name;; CREATE INDEX users_name ON users USING hash (name) WHERE name <> ''",
        "index public.users.users_name",
        ["USING hash (name) -> USING hash (name) WHERE"],
    ),
    (
        "DROP INDEX users_name;; CREATE INDEX users_name ON users (name)",
        "index public.users.users_name",
        ["USING hash (name) -> USING btree (name)"],
    ),
    ("CREATE INDEX more ON users (score)", "index public.users.more", ["is new", "USING btree (score)"]),
    ("DROP INDEX own_index", "index public.events_2024.own_index", ["is gone"]),
    ("COMMENT ON INDEX users_name IS 'x'", "index public.users.users_name", ["comment: none -> x"]),
    ("COMMENT ON INDEX users_pkey IS 'x'", "primary key public.users.users_pkey", ["index comment: none -> x"]),
    ("COMMENT ON INDEX settings_key IS 'x'", "index public.settings.settings_key", ["comment: none -> x"]),
    (
        "COMMENT ON CONSTRAINT events_kind_check ON events_2024 IS 'x'",
        "check public.events_2024.events_kind_check",
        ["is new", "inherited", "comment x"],
    ),
    (
        "COMMENT ON INDEX events_2024_kind_idx IS 'x'",
        "index public.events_2024.events_2024_kind_idx",
        ["is new", "inherited", "comment x"],
    ),
    (
        "ALTER INDEX events_2024_kind_idx SET (fillfactor = 66)",
        "index public.events_2024.events_2024_kind_idx",
        ["is new", "inherited", "fillfactor=66"],
    ),
    (
        "ALTER INDEX events_2024_pkey SET (fillfactor = 66)",
        "primary key public.events_2024.events_2024_pkey",
        ["is new", "inherited", "fillfactor=66"],
    ),
    ("DROP STATISTICS app.users_stat", "statistics public.users.users_stat", ["is gone"]),
    # Views
    (
        "CREATE OR REPLACE VIEW editable WITH (check_option = cascaded) AS "
        "SELECT id, name FROM users WHERE name <> 'x'",
        "view public.editable",
        ["definition:", "<> 'x'"],
    ),
    ("ALTER VIEW app.grouped RESET (security_barrier)", "view app.grouped", ["security_barrier"]),
    ("ALTER VIEW editable ALTER name DROP DEFAULT", "column public.editable.name", ["default: 'nobody'"]),
    # Routines
    (
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        "SET search_path = pg_catalog AS 'BEGIN RETURN OLD; END'",
        "function public.touch()",
        ["RETURN OLD"],
    ),
    ("ALTER FUNCTION pairs(integer) IMMUTABLE", "function public.pairs(integer)", ["IMMUTABLE"]),
    ("ALTER FUNCTION touch() SECURITY INVOKER", "function public.touch()", ["SECURITY DEFINER"]),
    ("ALTER FUNCTION touch() RESET search_path", "function public.touch()", ["search_path"]),
    (
        "CREATE FUNCTION add(float8) RETURNS float8 LANGUAGE sql AS 'SELECT 1'",
        "function public.add(double precision)",
        [],
    ),
    ("DROP PROCEDURE app.tidy", "procedure app.tidy(integer)", ["is gone"]),
    ("DROP AGGREGATE app.lowest(integer)", "aggregate app.lowest(integer)", ["is gone"]),
    ("DROP CAST (text AS app.address)", "cast text AS app.address", ["is gone"]),
    ("DROP OPERATOR app.=== (app.address, app.address)", "operator app.=== (app.address, app.address)", ["is gone"]),
    # Types
    ("ALTER TYPE mood ADD VALUE 'bored'", "enum public.mood", ["happy) ->", "bored"]),
    ("ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'", "enum public.mood", ["glad"]),
    ("DROP TYPE app.words", "type app.words", ["is gone", "many_words"]),
    ("ALTER TYPE app.point3 ALTER ATTRIBUTE z TYPE numeric", "column app.point3.z", ["integer -> numeric"]),
    ("ALTER DOMAIN app.code SET DEFAULT 'x'", "domain app.code", ["default: none -> 'x'"]),
    ("ALTER DOMAIN app.positive DROP NOT NULL", "domain app.positive", ["not null: yes -> none"]),
    # Sequences
    ("ALTER SEQUENCE plain INCREMENT BY 2", "sequence public.plain", ["options: none -> INCREMENT BY 2"]),
    ("ALTER SEQUENCE plain OWNED BY users.born", "sequence public.plain", ["owned by: none -> public.users.born"]),
    ("ALTER SEQUENCE app.small AS bigint", "sequence app.small", ["type: smallint -> none"]),
    # Triggers, rules, policies
    ("ALTER TABLE users DISABLE TRIGGER touched", "trigger public.users.touched", ["disabled: none -> yes"]),
    ("ALTER TABLE events_2024 ENABLE TRIGGER each_event", "trigger public.events_2024.each_event", ["is gone"]),
    (
        "CREATE OR REPLACE TRIGGER instead INSTEAD OF UPDATE ON grown FOR EACH ROW EXECUTE FUNCTION touch()",
        "trigger public.grown.instead",
        ["INSTEAD OF INSERT", "INSTEAD OF UPDATE"],
    ),
    ("ALTER TABLE settings DISABLE RULE no_delete", "rule public.settings.no_delete", ["disabled: none -> yes"]),
    ("ALTER POLICY own ON app.orders USING (user_id > 9)", "policy app.orders.own", ["(user_id > 0) -> (user_id > 9)"]),
    ("ALTER POLICY own ON app.orders TO PUBLIC", "policy app.orders.own", ["dbmigrate_writer) -> none"]),
    ("DROP POLICY everybody ON app.orders", "policy app.orders.everybody", ["is gone"]),
    ("ALTER EVENT TRIGGER watch DISABLE", "event trigger watch", ["disabled: none -> yes"]),
    # Rights
    ("GRANT DELETE ON users TO dbmigrate_writer", "grant public.users.dbmigrate_writer", ["DELETE"]),
    ("GRANT UPDATE (born) ON users TO dbmigrate_writer", "grant public.users.dbmigrate_writer", ["UPDATE (born)"]),
    (
        "REVOKE GRANT OPTION FOR SELECT ON users FROM dbmigrate_reader",
        "grant public.users.dbmigrate_reader",
        ["SELECT"],
    ),
    ("GRANT EXECUTE ON PROCEDURE app.tidy TO PUBLIC", "grant app.tidy(integer).PUBLIC", ["revoked (EXECUTE)"]),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "grant public.PUBLIC", ["CREATE"]),
    (
        "GRANT SELECT ON SEQUENCE users_id_seq TO dbmigrate_writer",
        "grant public.users.dbmigrate_writer on the sequence of id",
        ["(USAGE) -> (SELECT, USAGE)"],
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM dbmigrate_reader",
        "default privileges app.on TABLES to dbmigrate_reader",
        ["is gone"],
    ),
    # The rest
    ("CREATE SCHEMA other", "schema other", ["is new"]),
    ("COMMENT ON SCHEMA app IS NULL", "schema app", ["comment: where it's at -> none"]),
    ("ALTER PUBLICATION a_few ADD TABLE parent", "publication a_few", ["public.parent"]),
    ("ALTER SERVER elsewhere OPTIONS (SET dbname 'z')", "server elsewhere", ["dbname=z"]),
    (
        "ALTER TEXT SEARCH CONFIGURATION app.search DROP MAPPING FOR email",
        "text search configuration app.search",
        ["email"],
    ),
    ("DROP COLLATION app.posix", "collation app.posix", ["is gone"]),
)


def test_what_is_done_by_hand_is_found_and_named(full: Database) -> None:
    """And nothing else is; without it there is no difference."""
    full.execute(
        "CREATE TABLE app.address_book (zip varchar(10))",
        "CREATE TYPE app.point3 AS (x integer, z integer)",
    )
    wrong = {}
    with full.engine().connect() as connection:
        before = snapshot(connection)
        for sql, name, words in DRIFTS:
            try:
                for statement in sql.split(";; "):
                    send(connection, statement)
                changes = diff(before, snapshot(connection))
                said = "\n".join(str(change) for change in changes)
                if [str(change.object) for change in changes] != [name] or not all(word in said for word in words):
                    wrong[sql] = said
            except DBAPIError as error:
                wrong[sql] = str(error)
            connection.rollback()
        assert diff(before, snapshot(connection)) == ()

    assert wrong == {}, "\n\n".join(f"{sql}\n{said}" for sql, said in wrong.items())


def test_many_are_planted() -> None:
    """More than thirty, each by another statement."""
    assert len({sql for sql, *_ in DRIFTS}) == len(DRIFTS) > 80


INDEPENDENT: Final = (
    "ALTER TABLE a ADD one integer DEFAULT 1",
    "ALTER TABLE a ADD two text NOT NULL",
    "ALTER TABLE a ADD CONSTRAINT positive CHECK (id > 0)",
    "ALTER TABLE a ADD CONSTRAINT to_b FOREIGN KEY (id) REFERENCES b",
    "CREATE INDEX by_id ON a (id)",
    "COMMENT ON TABLE a IS 'x'",
    "CREATE TYPE mood AS ENUM ('x', 'y')",
    "CREATE SEQUENCE s",
    "GRANT SELECT ON a TO dbmigrate_reader",
    "GRANT INSERT ON a TO dbmigrate_reader, dbmigrate_writer",
    "GRANT UPDATE (id) ON a TO dbmigrate_reader",
    "ALTER TABLE a SET (fillfactor = 70)",
    "ALTER TABLE a SET (autovacuum_enabled = false)",
    "CREATE TABLE c PARTITION OF p FOR VALUES IN (1)",
    "CREATE INDEX by_k ON p (k)",
    "ALTER TABLE p ADD CHECK (k > 0)",
    "ALTER TABLE p ALTER k SET NOT NULL",
    "ALTER TABLE p ADD v text DEFAULT 'v'",
    "CREATE TRIGGER g AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f()",
    "CREATE POLICY y ON a TO dbmigrate_writer, dbmigrate_reader",
    "CREATE VIEW v AS SELECT id FROM a",
    "ALTER TABLE old RENAME TO renamed",
    "CREATE PUBLICATION all_of_it FOR TABLE b, a",
)


@given(order=st.permutations(INDEPENDENT))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_building_makes_no_difference(postgresql: Database, order: list[str]) -> None:
    """Not even that of columns does."""
    make_roles(postgresql)
    base = (
        *(
            "CREATE TABLE b (id integer PRIMARY KEY)",
            "CREATE TABLE a (id integer)",
            "CREATE TABLE old (x int NOT NULL)",
        ),
        "CREATE TABLE p (k integer) PARTITION BY LIST (k)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    )
    texts = []
    with postgresql.engine().connect() as connection:
        for statements in (INDEPENDENT, order):
            for sql in (*base, *statements):
                send(connection, sql)
            texts.append(snapshot(connection))
            connection.rollback()

    assert texts[0] == texts[1]
    assert str(texts[0]) == str(texts[1])


@pytest.mark.parametrize("way", ["script", "columns attached", "renamed"])
def test_other_ways_to_the_same(postgresql: Database, way: str) -> None:
    """What is attached is as if it had been made there; a name that the server chose long ago is not told."""
    direct = (
        "CREATE TABLE p (id integer NOT NULL, k text CHECK (k <> ''), PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        "CREATE TABLE c PARTITION OF p FOR VALUES FROM (1) TO (9)",
        "CREATE INDEX i ON p (k)",
    )
    other = postgresql.another()
    postgresql.execute(*direct)
    if way == "script":
        other.execute(script(taken(postgresql)))
    elif way == "columns attached":
        other.execute(
            direct[0],
            "CREATE TABLE c (gone date, k text CONSTRAINT p_k_check CHECK (k <> ''), id integer NOT NULL PRIMARY KEY)",
            "CREATE INDEX mine ON c (k)",
            "ALTER TABLE c DROP gone",
            direct[2],
            "ALTER TABLE p ATTACH PARTITION c FOR VALUES FROM (1) TO (9)",
        )
    else:
        other.execute(
            "CREATE TABLE was (no integer NOT NULL, k text, CONSTRAINT p_pkey PRIMARY KEY (no), "
            "CONSTRAINT p_k_check CHECK (k <> '')) PARTITION BY RANGE (no)",
            "ALTER TABLE was RENAME TO p",
            "ALTER TABLE p RENAME no TO id",
            *direct[1:],
        )

    assert diff(taken(postgresql), taken(other)) == ()


#: Each would change the text of a definition.
SETTINGS: Final = (
    *("search_path = app, public", "search_path = ''", "search_path = pg_temp, public, app"),
    *("quote_all_identifiers = on", "DateStyle = 'German'", "IntervalStyle = 'iso_8601'", "TimeZone = 'Asia/Tokyo'"),
    *("extra_float_digits = -15", "bytea_output = 'escape'", "standard_conforming_strings = off"),
    *("default_transaction_isolation = 'serializable'", "default_transaction_read_only = on", "jit_above_cost = 0"),
    "role = dbmigrate_reader",
)
_EVERY = "SELECT name, setting, source FROM pg_settings WHERE name NOT IN ('in_hot_standby', 'transaction_read_only')"


@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transaction"])
@pytest.mark.parametrize("local", [True, False], ids=["local", "session"])
def test_settings_make_no_difference_and_stay(full: Database, autocommit: bool, local: bool) -> None:
    """Nor do temporary tables that have the names of types."""
    expected = taken(full)
    with full.engine(isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED").connect() as connection:
        send(connection, "CREATE TEMPORARY TABLE uuid (id integer)")
        send(connection, "CREATE TEMPORARY TABLE users (id integer)")
        for setting in SETTINGS:
            send(connection, f"SET {'LOCAL ' if local and not autocommit else ''}{setting}")
            before = rows(connection, _EVERY)
            assert expected == snapshot(connection), setting
            assert before == rows(connection, _EVERY)
        connection.rollback()


@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transaction"])
def test_after_an_error_all_is_as_before(full: Database, autocommit: bool) -> None:
    """The caller's transaction can go on; here somebody has a lock on a table that a view reads."""
    level: Any = "AUTOCOMMIT" if autocommit else "READ COMMITTED"
    with full.engine().connect() as other, full.engine(isolation_level=level).connect() as connection:
        send(connection, "SET lock_timeout = '50ms'")
        send(connection, "CREATE TABLE mine ()")
        send(other, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        before = rows(connection, _EVERY)

        with pytest.raises(DBAPIError, match="lock timeout"):
            snapshot(connection)

        assert before == rows(connection, _EVERY)
        other.rollback()
        assert "table public.mine" in str(snapshot(connection))
        connection.rollback()
    assert autocommit == ("mine" in full.tables())


def test_a_transaction_that_was_begun_by_hand_goes_on(postgresql: Database) -> None:
    """As dbmigrate does: the driver is in autocommit then, and knows nothing of it."""
    with postgresql.engine(isolation_level="AUTOCOMMIT").connect() as connection:
        send(connection, "BEGIN")
        send(connection, "CREATE TABLE t ()")
        assert "table public.t" in str(snapshot(connection))
        send(connection, "ROLLBACK")

    assert postgresql.tables() == []


@pytest.mark.parametrize("version", [13, 14])
def test_older_servers_are_asked_less(full: Database, version: int) -> None:
    """There is nothing in what they are asked that a later one does not know too."""
    with full.engine().connect() as connection:
        send(connection, "SET LOCAL search_path = pg_catalog")
        for sql in queries(version):
            send(connection, sql).close()
        connection.rollback()


def asked(connection: Connection) -> int:
    """The number of statements that a snapshot takes."""
    sent: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(connection, "before_cursor_execute", count)
    snapshot(connection)
    event.remove(connection, "before_cursor_execute", count)
    return len(sent)


def test_the_number_of_queries_does_not_depend_on_the_schema(full: Database) -> None:
    """One for each kind, however many there are."""
    empty = full.another()
    with full.engine().connect() as many, empty.engine().connect() as none:
        assert asked(many) == asked(none) < 40


def test_what_is_not_of_people_is_left_out(postgresql: Database) -> None:
    """Neither what an extension made, nor what is the session's, nor the ledger."""
    Migrator(postgresql.url, MemorySource([sql_migration("1", "one", "CREATE TABLE one ()")])).upgrade()
    with postgresql.engine().connect() as connection:
        send(connection, "CREATE TEMPORARY TABLE temporary (id serial PRIMARY KEY)")
        send(connection, "CREATE TEMPORARY VIEW temporary_view AS SELECT 1")

        assert str(snapshot(connection)) == "schema public\ntable public.one\n"
        connection.rollback()


def test_data_and_numbers_make_no_difference(postgresql: Database) -> None:
    """A snapshot is of the schema."""
    postgresql.execute(
        "CREATE TABLE t (id serial PRIMARY KEY, i integer GENERATED ALWAYS AS IDENTITY)",
        "CREATE MATERIALIZED VIEW m AS SELECT id FROM t WITH NO DATA",
    )
    before = taken(postgresql)
    postgresql.execute("INSERT INTO t DEFAULT VALUES", "ANALYZE", "ALTER TABLE t ALTER i RESTART WITH 50", "VACUUM t")
    postgresql.execute("REFRESH MATERIALIZED VIEW m")

    assert before == taken(postgresql)
    assert before == made_by(postgresql, script(before))
    postgresql.execute("REFRESH MATERIALIZED VIEW m WITH NO DATA")
    assert before == taken(postgresql)


_SWITCHED: Final = (
    "CREATE TABLE a (id integer PRIMARY KEY)",
    "CREATE TABLE b (id integer REFERENCES a, up integer UNIQUE REFERENCES b (up))",
    "CREATE TABLE d (a integer, b integer, UNIQUE (a) DEFERRABLE INITIALLY DEFERRED, "
    "CONSTRAINT x EXCLUDE USING btree (b WITH =) DEFERRABLE)",
    "CREATE TABLE r (id integer PRIMARY KEY) PARTITION BY RANGE (id)",
    "CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (1) TO (9)",
    "CREATE TABLE p (a integer REFERENCES r, u integer, UNIQUE (a, u) DEFERRABLE) PARTITION BY RANGE (a)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (5) PARTITION BY RANGE (a)",
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (5) TO (9)",
    "CREATE TABLE p1a PARTITION OF p1 FOR VALUES FROM (1) TO (3)",
)


@pytest.mark.parametrize(
    ("sql", "changed"),
    [
        ("ALTER TABLE b DISABLE TRIGGER ALL", ["b.b_id_fkey", "b.b_up_fkey"]),
        ("ALTER TABLE a DISABLE TRIGGER ALL", ["b.b_id_fkey"]),
        ("ALTER TABLE d DISABLE TRIGGER ALL", ["d.d_a_key", "d.x"]),
        ("ALTER TABLE p2 DISABLE TRIGGER ALL", ["p2.p2_a_u_key", "p2.p_a_fkey"]),
        ("ALTER TABLE p1a DISABLE TRIGGER ALL", ["p1a.p1a_a_u_key", "p1a.p_a_fkey"]),
        ("ALTER TABLE r1 DISABLE TRIGGER ALL", ["p.p_a_fkey1"]),
        # It goes on to the partitions only for what has the same trigger there; older servers stop at once.
        ("ALTER TABLE p DISABLE TRIGGER ALL", None),
        ("ALTER TABLE p DISABLE TRIGGER ALL;; ALTER TABLE p2 ENABLE TRIGGER ALL", None),
        ("ALTER TABLE p DISABLE TRIGGER ALL;; ALTER TABLE p1a DISABLE TRIGGER ALL", None),
        ("REPLICA", ["d.d_a_key"]),
    ],
)
def test_triggers_of_a_constraint_can_be_disabled(postgresql: Database, sql: str, changed: list[str] | None) -> None:
    """Then it is not heeded; the script says so too."""
    postgresql.execute(*_SWITCHED)
    before = taken(postgresql)
    if sql == "REPLICA":
        [(name,)] = postgresql.query(
            "SELECT tgname FROM pg_trigger JOIN pg_constraint k ON k.oid = tgconstraint WHERE k.conname = 'd_a_key'"
        )
        sql = f'ALTER TABLE d ENABLE REPLICA TRIGGER "{name}"'
    postgresql.execute(*sql.split(";; "))
    found = taken(postgresql)
    # PostgreSQL 18 writes the number with an underscore.
    places = [change.object.place.removeprefix("public.") for change in diff(before, found)]
    changes = [place.replace("fkey_1", "fkey1") for place in places]

    assert changed is None or changes == changed
    assert changes
    again = made_by(postgresql, script(found))
    assert (diff(found, again), str(found)) == ((), str(again))


def test_without_the_schema_public(postgresql: Database) -> None:
    """It is a difference, and the script drops it."""
    postgresql.execute("CREATE SCHEMA app", "CREATE TABLE app.t ()", "DROP SCHEMA public")
    found = taken(postgresql)
    other = postgresql.another()
    other.execute(script(found))

    assert "public" not in str(found)
    assert found == taken(other)


@pytest.mark.parametrize(
    "tables",
    [
        "parent WHERE (n BETWEEN 1 AND 5 AND n <> 3)",
        "parent (n, id) WHERE (n > 1), alone",
        "ONLY parent, ONLY child WHERE (n > 1)",
        "ONLY parent, parts",
    ],
)
def test_a_publication_of_a_table_with_children(postgresql: Database, tables: str) -> None:
    """Each that is in it is named for itself, and no other one."""
    postgresql.execute(
        "CREATE TABLE parent (id integer, n integer)",
        "CREATE TABLE child () INHERITS (parent)",
        "CREATE TABLE alone (id integer)",
        "CREATE TABLE parts (n integer) PARTITION BY LIST (n)",
        "CREATE TABLE part PARTITION OF parts DEFAULT",
        f"CREATE PUBLICATION p FOR TABLE {tables}",
    )
    found = taken(postgresql)

    assert diff(found, made_by(postgresql, script(found))) == ()


def test_an_index_that_is_invalid_says_so(postgresql: Database) -> None:
    """As a build that failed leaves it."""
    postgresql.execute("CREATE TABLE t (id integer)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(Exception, match="could not create unique index"):
        postgresql.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)")

    assert "index i: unique; definition USING btree (id); invalid" in str(taken(postgresql))


def test_a_script_quotes_what_must_be_quoted(postgresql: Database) -> None:
    """Every word that the server reserves."""
    reserved = {word for (word,) in postgresql.query("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")}

    assert {word for word in reserved | RESERVED_WORDS if quoted(word) == word} == set()
    assert ["a_1", '"A"', '"a""b"', '"1a"', '"ü"'] == [quoted(name) for name in ("a_1", "A", 'a"b', "1a", "ü")]
