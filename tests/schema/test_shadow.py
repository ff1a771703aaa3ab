"""What migrations make is found out in a shadow database: drift, reversibility, and whether models match."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from dbmigrate import (
    ConfigurationError,
    Edited,
    HistoryError,
    MemorySource,
    MigrationFailed,
    Migrator,
    OutOfOrder,
    TableLedger,
    python_migration,
    sql_migration,
)
from dbmigrate.shadow import Replayed, compare_models, drift, replay
from tests.schema import mysql_history, postgresql_history, sqlite_history
from tests.schema.reversible import migrations_of
from tests.schema.test_postgresql import make_roles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dbmigrate import Migration
    from dbmigrate.schema import Change
    from tests.conftest import Database

pytestmark = pytest.mark.default_driver

USERS: Final = sql_migration(
    "1", "users", "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, email VARCHAR(20) NOT NULL)", "DROP TABLE users"
)
NAMES: Final = sql_migration(
    "2", "names", "ALTER TABLE users ADD COLUMN name VARCHAR(30)", "ALTER TABLE users DROP COLUMN name"
)
SEEN: Final = sql_migration("4", "seen", "CREATE VIEW seen AS SELECT id FROM users", "DROP VIEW seen")


def _shop(database: Database) -> list[Migration]:
    on = " ON users" if database.kind == "mariadb" else ""
    index = sql_migration("3", "index", "CREATE INDEX by_name ON users (name)", f"DROP INDEX by_name{on}")
    return [USERS, NAMES, index, SEEN]


def _migrator(database: Database, migrations: Sequence[Migration], **more: Any) -> Migrator:
    return Migrator(database.url, MemorySource(migrations), **more)


def _said(changes: Sequence[Change]) -> list[str]:
    return [str(change) for change in changes]


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No shadow database outlives the call that made it."""
    names = {"database", "postgresql", "mariadb"} & {*request.fixturenames}
    databases: list[Database] = [request.getfixturevalue(name) for name in names]
    yield
    for database in databases:
        if database.server is not None:
            lists = {"postgresql": "SELECT datname FROM pg_database", "mariadb": "SHOW DATABASES"}
            found = [name for (name,) in database.query(lists[database.kind])]
            assert [name for name in found if name.startswith(f"{database.name}_shadow")] == []


# -- drift


@pytest.fixture
def named(database: Database) -> Iterator[Callable[[str], str]]:
    """What puts people of the test's own into a statement, where the history has some."""
    with mysql_history.people(database) if database.kind == "mariadb" else nullcontext(str) as put:
        yield put


def _whole_history(database: Database, named: Callable[[str], str]) -> list[Migration]:
    """A history that uses every kind of thing; each migration has a way back."""
    if database.kind == "mariadb":
        return migrations_of([[*map(named, theme)] for theme in mysql_history.THEMES], mysql_history.BACK)
    if database.kind == "sqlite":
        return migrations_of(sqlite_history.STATEMENTS, sqlite_history.BACK)
    make_roles(database)
    [(version,)] = database.query("SELECT current_setting('server_version_num')::int / 10000")
    extensions = {name for (name,) in database.query("SELECT name FROM pg_available_extensions")}
    steps = postgresql_history.steps(version, extensions)
    return [sql_migration(f"{n:02}", "x", ";\n".join(up), down) for n, (up, down) in enumerate(steps, 1)]


def test_an_untouched_database_has_no_drift(database: Database, named: Callable[[str], str]) -> None:
    """Whatever is in it; and whatever it is, it can be taken back and made again."""
    migrator = _migrator(database, _whole_history(database, named), transaction="each")
    migrator.upgrade()

    assert _said(drift(migrator)) == []
    found = replay(migrator)
    assert [done.trouble for done in found if done.trouble] == []
    assert [done.migration.version for done in found if not (done.changes and done.is_reversible)] == []


def test_what_was_done_by_hand_is_named(database: Database) -> None:
    """A column on a laptop, an index in production, a view that somebody dropped: with both definitions."""
    migrator = _migrator(database, _shop(database))
    migrator.upgrade("3")
    database.execute("ALTER TABLE users ADD COLUMN age INT", "CREATE TABLE backup (x INT)")
    migrator.upgrade()
    database.execute("DROP VIEW seen", "CREATE VIEW seen AS SELECT email FROM users")
    found = drift(migrator)

    assert [(c.object.kind, c.object.name, c.before is None, c.after is None) for c in found] == [
        ("table", "backup", True, False),
        ("column", "age", True, False),
        ("view", "seen", False, False),
    ]
    assert "email" in str(found[2])
    assert json.loads(json.dumps([change.to_dict() for change in found]))[0]["change"] == "added"
    assert [c.object.name for c in drift(migrator, exclude=["*backup", "seen", "public.seen"])] == ["age"]


def test_only_what_is_applied_is_replayed(database: Database) -> None:
    """In the order in which it was, also where a branch was merged late, or a step was taken back and applied again."""
    first, second, third, _ = _shop(database)
    late = sql_migration("25", "late", "ALTER TABLE users ADD COLUMN late INT", "ALTER TABLE users DROP COLUMN late")
    more = sql_migration("9", "more", "CREATE TABLE more (x INT)")
    _migrator(database, [first, second, third]).upgrade()
    migrator = _migrator(database, [first, second, late, third, more], allow={OutOfOrder})
    migrator.upgrade("3")
    migrator.redo()

    assert drift(migrator) == ()
    database.execute("CREATE TABLE more (x INT)")
    assert _said(drift(migrator))[0].startswith("table ")


def test_a_history_that_cannot_be_told_is_refused(database: Database) -> None:
    """What ran is not known, so nothing that differs means anything."""
    migrations = _shop(database)
    _migrator(database, migrations[:2]).upgrade()
    edited = sql_migration("2", "names", "ALTER TABLE users ADD COLUMN name VARCHAR(31)")

    with pytest.raises(HistoryError, match="Edited: 2_names"):
        drift(_migrator(database, [USERS, edited]))
    assert [c.object.name for c in drift(_migrator(database, [USERS, edited], allow={Edited}))] == ["name"]
    with pytest.raises(HistoryError, match=r"Ahead: 2_names|Missing: 2_names"):
        drift(_migrator(database, [USERS]))
    with pytest.raises(HistoryError, match="Missing: 1_users"):
        drift(_migrator(database, [NAMES]))


def test_what_fails_in_the_shadow_says_where(database: Database) -> None:
    """It ran in the database, when something was there that no migration makes."""
    database.execute("CREATE TABLE theirs (x INT)")
    migrator = _migrator(database, [sql_migration("1", "mine", "ALTER TABLE theirs ADD COLUMN y INT")])
    migrator.upgrade()

    with pytest.raises(MigrationFailed, match="theirs") as caught:
        drift(migrator)
    assert "shadow database, which is dropped again" in str(caught.value.__notes__)
    ready = drift(migrator, prepare=lambda connection: connection.execute(sa.text("CREATE TABLE theirs (x INT)")))
    assert ready == ()


def test_the_database_is_only_read(database: Database) -> None:
    """And what is there already is never taken for the shadow."""
    migrator = _migrator(database, _shop(database))
    migrator.upgrade()
    other = database.another()
    other.execute("CREATE TABLE theirs (x INT)")
    for url in (other.url, database.url):
        with pytest.raises(ConfigurationError, match=r"is not empty|name (another )?one"):
            drift(migrator, shadow_url=url)
    before = migrator.history()
    assert drift(migrator) == ()
    assert (before, other.tables()) == (migrator.history(), ["theirs"])


def test_an_engine_and_a_ledger_of_another_name(database: Database) -> None:
    """The ledger is no drift, whatever it is called; and the Migrator may have an Engine."""
    engine = database.engine()
    migrator = Migrator(engine, MemorySource(_shop(database)), ledger="history_of_mine")
    migrator.upgrade()

    assert drift(migrator) == ()


def test_python_runs_there_as_well(database: Database) -> None:
    """A function changes the shadow database in its turn."""

    def up(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE made (x INT)"))

    migrator = _migrator(database, [USERS, python_migration("2", "made", up)])
    migrator.upgrade()
    assert drift(migrator) == ()


def test_the_default_collation_is_that_of_the_database(mariadb: Database) -> None:
    """Tables that say nothing of it have it."""
    mariadb.execute(f"ALTER DATABASE {mariadb.name} CHARACTER SET latin1 COLLATE latin1_german2_ci")
    migrator = _migrator(mariadb, [USERS])
    migrator.upgrade()
    assert drift(migrator) == ()


def test_extensions_and_settings_are_those_of_the_database(postgresql: Database) -> None:
    """An extension that was there before the first migration, and one that a migration creates; search_path."""
    names = {name for (name,) in postgresql.query("SELECT name FROM pg_available_extensions")}
    if not {"citext", "hstore"} <= names:
        pytest.skip("contrib is not installed")
    postgresql.execute(
        "CREATE SCHEMA tools",
        "CREATE EXTENSION citext SCHEMA tools",
        f'ALTER DATABASE "{postgresql.name}" SET search_path = public, tools',
        f"ALTER ROLE CURRENT_USER IN DATABASE \"{postgresql.name}\" SET \"app.tenant\" = 'it''s'",
    )
    try:
        migrator = _migrator(
            postgresql,
            [
                sql_migration("1", "words", "CREATE TABLE words (x citext DEFAULT current_setting('app.tenant'))"),
                sql_migration("2", "more", "CREATE EXTENSION hstore; ALTER TABLE words ADD y hstore"),
            ],
        )
        migrator.upgrade()
        assert drift(migrator) == ()
    finally:
        postgresql.execute(
            f'ALTER DATABASE "{postgresql.name}" RESET search_path',
            f'ALTER ROLE CURRENT_USER IN DATABASE "{postgresql.name}" RESET "app.tenant"',
        )


def test_an_extension_that_another_one_brings_along(postgresql: Database) -> None:
    """CASCADE makes it, so it is not there before; unless it is in another schema, where CASCADE does not put it."""
    if not postgresql.query("SELECT 1 FROM pg_available_extensions WHERE name = 'earthdistance'"):
        pytest.skip("contrib is not installed")
    create, drop = "CREATE EXTENSION earthdistance CASCADE", "DROP EXTENSION earthdistance, cube"
    migrator = _migrator(postgresql, [sql_migration("1", "earth", create, drop)])
    migrator.upgrade()
    assert (_said(drift(migrator)), [done.trouble for done in replay(migrator)]) == ([], [""])
    migrator.downgrade(steps=1)

    postgresql.execute("CREATE SCHEMA tools", "CREATE EXTENSION cube SCHEMA tools")
    migrator = _migrator(postgresql, [sql_migration("1", "earth", create, "DROP EXTENSION earthdistance")])
    migrator.upgrade()
    assert (_said(drift(migrator)), [done.trouble for done in replay(migrator)]) == ([], [""])


def test_the_ledger_may_be_in_a_schema_that_was_there(postgresql: Database) -> None:
    """It is older than the first migration, and no drift; nor are rights on the schema public that no script gives."""
    postgresql.execute("CREATE SCHEMA dbm", "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    make_roles(postgresql)
    postgresql.execute("GRANT ALL ON SCHEMA public TO dbmigrate_reader WITH GRANT OPTION")
    migrator = _migrator(postgresql, [USERS], ledger=TableLedger("led", schema="dbm"))
    migrator.upgrade()
    assert _said(drift(migrator)) == []
    grant = sql_migration("2", "grant", "GRANT USAGE ON SCHEMA public TO dbmigrate_writer")
    migrator = _migrator(postgresql, [USERS, grant], ledger=TableLedger("led", schema="dbm"))
    migrator.upgrade()
    assert [change.object.kind for change in drift(migrator)] == ["grant", "grant"]  # whose these are is not known now


def test_a_search_path_may_be_in_the_url(postgresql: Database) -> None:
    """And the schema there be made beforehand, or by a migration."""
    postgresql.execute("CREATE SCHEMA app")
    url = postgresql.url.update_query_dict({"options": "-csearch_path=app"})
    migrator = Migrator(url, MemorySource([sql_migration("1", "t", "CREATE TABLE t (a int)", "DROP TABLE t")]))
    migrator.upgrade()
    assert drift(migrator, prepare=lambda connection: connection.execute(sa.text("CREATE SCHEMA app"))) == ()


def test_settings_do_not_keep_a_shadow_from_its_work(postgresql: Database) -> None:
    """One that makes sessions read only is not taken over; one of a superuser is left out for who is none."""
    migrator = _migrator(postgresql, [USERS])
    migrator.upgrade()
    name, user = postgresql.name, f"{postgresql.name}_plain"
    postgresql.execute(
        f'ALTER DATABASE "{name}" SET default_transaction_read_only = on',
        f'ALTER DATABASE "{name}" SET log_min_duration_statement = 1000',
        f"CREATE ROLE {user} LOGIN CREATEDB",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}",
    )
    try:
        assert _said(drift(Migrator(postgresql.url.set(username=user), migrator.source), exclude=["*users"])) == []
    finally:
        postgresql.execute(
            "SET default_transaction_read_only = off",
            f'ALTER DATABASE "{name}" RESET ALL',
            f"DROP OWNED BY {user}",
            f"DROP ROLE {user}",
        )


@pytest.mark.parametrize(
    ("before", "script"),
    [
        (
            "CREATE EXTENSION citext SCHEMA tools",
            "CREATE EXTENSION IF NOT EXISTS citext; CREATE TABLE t (x tools.citext)",
        ),
        ("CREATE EXTENSION citext", "-- the DBA has to create extension citext before\nCREATE TABLE t (x citext)"),
        ("CREATE EXTENSION citext", "CREATE EXTENSION IF NOT EXISTS citext; CREATE TABLE t (x citext)"),
        ("CREATE EXTENSION citext SCHEMA tools", "CREATE SCHEMA IF NOT EXISTS tools; CREATE TABLE t (x tools.citext)"),
    ],
)
def test_an_extension_that_somebody_made_before(postgresql: Database, before: str, script: str) -> None:
    """Where it is, whatever scripts say of it."""
    if not postgresql.query("SELECT 1 FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("contrib is not installed")
    postgresql.execute("CREATE SCHEMA tools" if "tools" in before else "SELECT 1", before)
    migrator = _migrator(postgresql, [sql_migration("1", "words", script)])
    migrator.upgrade()
    assert _said(drift(migrator)) == []


# -- replay


def test_a_history_that_leads_back(database: Database) -> None:
    """Every migration up, down and up again; what is lost on the way is pointed out."""
    found = replay(_migrator(database, _shop(database)))

    assert all(done.is_reversible for done in found)
    assert [done.migration.version for done in found] == ["1", "2", "3", "4"]
    place = "public." if database.kind == "postgresql" else ""
    assert found[0].lost == (f"table {place}users",)
    assert found[1].lost == (f"column {place}users.name",)
    assert found[2].lost == found[3].lost == found[3].destroyed == ()
    assert json.loads(json.dumps(found[0].to_dict()))["is_reversible"] is True
    assert Migrator(database.url, MemorySource([])).history() == ()


def test_what_does_not_lead_back_is_named(database: Database) -> None:
    """The migration, and what exactly is still different; those behind it are looked at all the same."""
    on = " ON users" if database.kind == "mariadb" else ""
    forgets = "ALTER TABLE users ADD COLUMN a INT; CREATE INDEX by_a ON users (a); CREATE TABLE forgotten (x INT)"
    migrations = [
        USERS,
        sql_migration("2", "forgets", forgets, f"DROP INDEX by_a{on}; ALTER TABLE users DROP COLUMN a"),
        sql_migration("3", "fails", "CREATE TABLE b (x INT)", "DROP TABLE no_such_table"),
        sql_migration("4", "one_way", "ALTER TABLE b ADD COLUMN y INT"),
        sql_migration("5", "drops", "DROP TABLE b", "CREATE TABLE b (x INT, y VARCHAR(3))"),
        sql_migration("6", "fine", "CREATE TABLE c (x INT)", "DROP TABLE c"),
    ]
    found = {done.migration.version: done for done in replay(_migrator(database, migrations))}

    assert [version for version, done in found.items() if not done.is_reversible] == ["2", "3", "4", "5"]
    assert [change.object.name for change in found["2"].remaining] == ["forgotten"]
    assert "no_such_table" in str(found["3"].error)
    assert found["4"] == Replayed(migrations[3], found["4"].changes)
    assert ["y: " in str(change) or "type: " in str(change) for change in found["5"].remaining] == [True]
    assert found["5"].destroyed == (str(found["5"].changes[0].object),)


def test_data_that_a_way_back_loses_is_pointed_out(database: Database) -> None:
    """Rows that it deletes or overwrites, and values that become shorter."""
    longer, shorter = {
        "postgresql": ("ALTER TABLE users ALTER email TYPE text", "ALTER TABLE users ALTER email TYPE varchar(20)"),
        "mariadb": (
            "ALTER TABLE users MODIFY email TEXT NOT NULL",
            "ALTER TABLE users MODIFY email VARCHAR(20) NOT NULL",
        ),
        "sqlite": ("SELECT 1", "SELECT 1"),
    }[database.kind]
    migrations = [
        USERS,
        sql_migration(
            "2", "rows", "INSERT INTO users VALUES (1, 'a')", "-- all\nUPDATE users SET id = 2;\nDELETE FROM users"
        ),
        sql_migration("3", "longer", longer, shorter),
    ]
    found = replay(_migrator(database, migrations))

    assert [done.trouble for done in found] == ["", "", ""]
    assert found[1].lost == ("rows by UPDATE (2_rows.down:2)", "rows by DELETE (2_rows.down:3)")
    place = {
        "postgresql": "column public.users.email (text -> character varying(20))",
        "mariadb": "column users.email (text -> varchar(20))",
    }
    assert found[2].lost == ((place[database.kind],) if database.server else ())


def test_what_cannot_be_applied_from_zero_fails(database: Database) -> None:
    """As it would for a new colleague."""
    with pytest.raises(MigrationFailed, match="2_names"):
        replay(_migrator(database, [sql_migration("1", "a", "CREATE TABLE a (x INT)"), NAMES]))


def test_it_needs_no_database(sqlite: Database, tmp_path: Any) -> None:
    """Only a place to make one in."""
    assert len(replay(Migrator(f"sqlite:///{tmp_path}/none.db", MemorySource([USERS])))) == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="no database yet"):
        drift(Migrator(f"sqlite:///{tmp_path}/none.db", MemorySource([USERS])))
    engine = sa.create_engine("sqlite://")
    with pytest.raises(ConfigurationError, match="a database in memory has no name"):
        replay(Migrator(engine, MemorySource([USERS])))
    engine.dispose()


# -- models


def _models(*, name: int = 30, nullable: bool = True) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        "users",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("email", sa.String(20), nullable=False),
        sa.Column("name", sa.String(name), nullable=nullable),
        sa.Index("by_name", "name"),
    )
    return metadata


def test_models_that_match(database: Database) -> None:
    """However types and keys are spelled, and though there is a view that no model has."""
    assert _said(compare_models(_migrator(database, _shop(database)), _models())) == []


def test_models_that_do_not_match(database: Database) -> None:
    """Each difference, by table and column, from what the migrations make to what the models make."""
    more = sql_migration("5", "x", "CREATE TABLE x (y INT)")
    found = compare_models(_migrator(database, [*_shop(database), more]), _models(name=40, nullable=False))

    assert {(change.object.kind, change.object.name) for change in found} == {("table", "x"), ("column", "name")}
    text = "\n".join(_said(found)).lower()
    assert "30) -> " in text
    assert "not null: none -> yes" in text
    assert "is gone" in text


def test_models_with_types_and_schemas(postgresql: Database) -> None:
    """Enumerations, sequences and schemas are theirs as well."""
    metadata = sa.MetaData(schema="shop")
    sa.Table(
        "orders",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("state", sa.Enum("new", "paid", name="state", metadata=metadata), server_default="new"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0", name="positive")),
    )
    script = """CREATE SCHEMA shop; CREATE TYPE shop.state AS ENUM ('new', 'paid');
        CREATE TABLE shop.orders (n int4 CONSTRAINT positive CHECK ((n) > 0), at timestamptz DEFAULT CURRENT_TIMESTAMP,
        state shop.state DEFAULT 'new'::shop.state, id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"""
    found = compare_models(_migrator(postgresql, [sql_migration("1", "orders", script)]), metadata)

    assert _said(found) in ([], ["column shop.orders.at:\n    default: CURRENT_TIMESTAMP -> now()"])


def test_models_that_mean_the_same(database: Database) -> None:
    """Numbers as defaults, the time, checks behind a column, references without a column, JSON."""
    metadata = sa.MetaData()
    sa.Table("p", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
    sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("n", sa.Integer, server_default="0"),
        sa.CheckConstraint("n > 0", name="positive"),
        sa.Column("b", sa.BigInteger, server_default="5"),
        sa.Column("d", sa.Numeric(10, 2), server_default="1.5", nullable=False),
        sa.Column("at", sa.DateTime, server_default=sa.func.now()),
        sa.Column("parent", sa.Integer, sa.ForeignKey("p.id", name="parent")),
        sa.Column("doc", sa.JSON),
    )
    date = {"postgresql": "timestamp", "mariadb": "DATETIME", "sqlite": "timestamp"}[database.kind]
    where = "(id)" if database.kind == "mariadb" else ""
    null = "DEFAULT NULL" if database.kind == "sqlite" else ""
    text = f"""CREATE TABLE p (id INTEGER NOT NULL PRIMARY KEY);
        CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, n INT DEFAULT 0 CONSTRAINT positive CHECK (n > 0),
        b BIGINT DEFAULT 5, d DECIMAL(10,2) NOT NULL DEFAULT 1.5, at {date} DEFAULT CURRENT_TIMESTAMP,
        parent INT {null}, doc JSON, CONSTRAINT parent FOREIGN KEY (parent) REFERENCES p {where})"""
    if database.kind == "mariadb":
        text = text.replace("CONSTRAINT positive CHECK (n > 0)", "").replace(
            "doc JSON,", "doc JSON, CONSTRAINT positive CHECK (n > 0),"
        )
    assert _said(compare_models(_migrator(database, [sql_migration("1", "t", text)]), metadata)) == []


def test_a_check_of_a_column_is_one_of_its_table(mariadb: Database) -> None:
    """SQLAlchemy writes one behind the column, and people at the end."""
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0")))
    script = "CREATE TABLE t (n INT, CHECK (n > 0))"
    assert _said(compare_models(_migrator(mariadb, [sql_migration("1", "t", script)]), metadata)) == []


def test_models_of_a_column_with_another_name(mariadb: Database) -> None:
    """That it is JSON is said by a check, which belongs to it whatever it is called."""
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("doc", sa.JSON))
    script = "CREATE TABLE t (payload JSON); ALTER TABLE t RENAME COLUMN payload TO doc"
    assert _said(compare_models(_migrator(mariadb, [sql_migration("1", "t", script)]), metadata)) == []


def test_models_of_an_extension(postgresql: Database) -> None:
    """What a migration creates for them is there for the models, too."""
    if not postgresql.query("SELECT 1 FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("contrib is not installed")
    from sqlalchemy.dialects.postgresql import CITEXT

    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("x", CITEXT))
    script = "CREATE EXTENSION citext; CREATE TABLE t (x citext)"
    assert _said(compare_models(_migrator(postgresql, [sql_migration("1", "t", script)]), metadata)) == []


def test_models_that_use_functions_of_migrations(postgresql: Database) -> None:
    """As a default, in a check and in an index; a view that is mapped; and what guards what people create."""
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("x", sa.Integer, sa.CheckConstraint("good(x)"), server_default=sa.text("mkid()")))
    sa.Index("by_good", sa.text("good(x)"), _table=metadata.tables["t"])
    sa.Table("seen", metadata, sa.Column("x", sa.Integer))
    script = """
        CREATE TYPE mood AS ENUM ('a');
        CREATE FUNCTION mkid() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
        CREATE TABLE t (x int DEFAULT mkid(), CHECK (good(x)));
        CREATE INDEX by_good ON t (good(x));
        CREATE FUNCTION first() RETURNS t LANGUAGE sql AS 'SELECT * FROM t LIMIT 1';
        CREATE VIEW other AS SELECT 1 AS x; CREATE VIEW seen AS SELECT x FROM other;
        CREATE FUNCTION stop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$no$$; END';
        CREATE EVENT TRIGGER stop ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION stop()"""
    migrator = _migrator(postgresql, [sql_migration("1", "t", script)])
    assert _said(compare_models(migrator, metadata)) == ["enum public.mood is gone\n    values (a)"]


#: The type of a column, its default in the migrations, and in the models; the same to whoever inserts a row.
SAME: Final = (
    ("varchar(3)", "NULL", None),
    ("numeric(5,2)", "NULL", None),
    ("text", "'it''s'::varchar", "'it''s'"),
    ("text", "'x'::bpchar", "'x'"),
    ("text", "'1'::varchar", "'1'"),
    ("text", r"E'\\''x'::varchar", r"E'\\''x'"),
    ("varchar(20)", "'x '::text", "'x '"),
    ("char(3)", "'x'::text", "'x'"),
    ("text[]", "'{a,b}'::varchar[]", "'{a,b}'"),
    ("numeric(10,2)", "0.00", "0"),
    ("numeric(10,2)", "'-1.50'", "-1.5"),
    ("numeric(10,2)", "0.50::numeric(10,2)", "0.5"),
    ("bigint", "'5'::smallint", "'5'"),
    ("integer", "10.0", "10"),
    ("real", "'0.10'::double precision", "'0.1'"),
    ("double precision", "'-1'", "-1.0"),
    ("text[]", "ARRAY[]::text[]", "'{}'"),
    ("varchar(9)[]", "ARRAY[]::text[]", "'{}'"),
    ("integer[]", "ARRAY[]::integer[]", "'{}'"),
    ("timestamp", "timezone('utc', now())", "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"),
    ("timestamp", "(now() AT TIME ZONE 'utc')", "timezone('utc', transaction_timestamp())"),
    ("text", "(now() AT TIME ZONE 'utc')::text", "timezone('utc', CURRENT_TIMESTAMP)::text"),
    ("timestamptz", "transaction_timestamp()", "now()"),
    ("timestamptz(3)", "CURRENT_TIMESTAMP", "now()"),
    ("timestamp", "LOCALTIMESTAMP", "now()"),
    ("timestamp(0)", "LOCALTIMESTAMP", "CURRENT_TIMESTAMP"),
    ("date", "CURRENT_DATE", "now()"),
)
#: These are not.
OTHER: Final = (
    ("words", "NULL", None),
    ("text", "''", None),
    ("text", "'NULL::text'", None),
    ("text", "'x '::bpchar", "'x '"),
    ("text", "'xyz'::varchar(2)", "'xyz'"),
    ("text", "'CURRENT_TIMESTAMP'", "'now()'"),
    ("text", "('(''x''::character varying)::text')", "'''x''::text'"),
    ("text", "' x'", "'x'"),
    ("text[]", "'{}'", "'{x}'"),
    ("text[]", "'{a}'::bpchar[]", "'{b}'"),
    ("text", "ARRAY[]::text[]::text", "'[]'"),
    ("numeric", "0.00", "0"),
    ("text", "0.00", "0"),
    ("numeric(10,2)", "0.05", "0.5"),
    ("integer", "10", "1"),
    ("double precision", "'0.1'::real", "0.1"),
    ("text", "'1.50'::double precision", "1.50"),
    ("numeric(10,2)", "0.55::numeric(10,1)", "0.55"),
    ("timestamptz", "clock_timestamp()", "now()"),
    ("timestamptz", "CURRENT_TIMESTAMP(0)", "now()"),
    ("timestamptz", "LOCALTIMESTAMP", "now()"),
    ("timestamptz", "CURRENT_DATE", "now()"),
    ("timestamp", "LOCALTIMESTAMP(0)", "now()"),
    ("timestamp", "(now() AT TIME ZONE 'utc')", "now()"),
    ("timestamp", "timezone('utc', now())", "timezone('cet', now())"),
    ("timestamptz", "app.now()", "now()"),
    ("timestamp", "app.timezone('utc', now())", "timezone('utc', now())"),
)


class Written(sa.types.UserDefinedType[Any]):
    """A type as SQL has it."""

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def get_col_spec(self, **_: Any) -> str:
        """Say it."""
        return self.sql


def test_defaults_that_mean_the_same(postgresql: Database) -> None:
    """However they are spelled; and those that only look so do not."""
    metadata, columns = sa.MetaData(), list[str]()
    table = sa.Table("t", metadata)
    for number, (kind, before, after) in enumerate((*SAME, *OTHER)):
        columns.append(f"c{number:03} {kind} DEFAULT {before}")
        default = None if after is None else sa.text(after.replace(":", "\\:"))
        table.append_column(sa.Column(f"c{number:03}", Written(kind), server_default=default))
    script = f"""CREATE SCHEMA app; CREATE DOMAIN words AS text DEFAULT 'x';
        CREATE FUNCTION app.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
        CREATE FUNCTION app.timezone(text, timestamptz) RETURNS timestamp LANGUAGE sql AS 'SELECT LOCALTIMESTAMP';
        CREATE TABLE t ({", ".join(columns)})"""
    # The models say nothing of a domain, only of columns that have it.
    domain = sa.text("CREATE DOMAIN words AS text DEFAULT 'x'")
    event.listen(table, "before_create", lambda _, connection, **__: connection.execute(domain))
    found = compare_models(_migrator(postgresql, [sql_migration("1", "t", script)]), metadata)

    assert [change.object.name for change in found] == [f"c{len(SAME) + n:03}" for n in range(len(OTHER))], _said(found)


@pytest.mark.parametrize(
    ("kind", "before", "after", "is_same"),
    [
        ("varchar(9)", "CHECK (s IN ('a', 'it''s'))", "s IN ('a', 'it''s')", True),
        ("varchar(9)", "CHECK (s <> 'a' AND s NOT IN ('b'))", "s <> 'a' AND s NOT IN ('b')", True),
        ("varchar(9)", "CHECK (s IN ('a', 'c'))", "s IN ('a', 'b')", False),
        ("varchar(9)", "CHECK (s <> '(''a''::character varying)::text')", "s <> '''a''::text'", False),
        ("varchar(9)", "CHECK (s = ANY ('{a}'::varchar[]))", "s = 'a'", False),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_checks_that_are_older_than_the_type(
    postgresql: Database, kind: str, before: str, after: str, is_same: bool, turned: bool
) -> None:
    """The server keeps the casts that were needed for the old one."""
    kinds = [kind, "text"][:: -1 if turned else 1]
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("s", Written(kinds[1])), sa.CheckConstraint(after))
    script = f"CREATE TABLE t (s {kinds[0]} {before}); ALTER TABLE t ALTER s TYPE {kinds[1]}"
    found = compare_models(_migrator(postgresql, [sql_migration("1", "t", script)]), metadata)
    assert (_said(found) == []) == is_same, _said(found)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("CREATE TABLE t (id serial PRIMARY KEY, n int UNIQUE REFERENCES t, CHECK (n < 9), CHECK (n > 0))", []),
        ("CREATE TABLE t (id serial PRIMARY KEY, n int CHECK (n > 0) CHECK (n < 9) UNIQUE REFERENCES t)", []),
        (
            "CREATE TABLE s (no serial PRIMARY KEY, m int CHECK (m > 0) CHECK (m < 9) UNIQUE REFERENCES s); "
            "ALTER TABLE s RENAME TO t; ALTER TABLE t RENAME no TO id; ALTER TABLE t RENAME m TO n",
            [],
        ),
        # Somebody chose a name, one thing more is there, and one is otherwise.
        (
            "CREATE TABLE t (id serial PRIMARY KEY, n int CONSTRAINT small CHECK (n < 9) CHECK (n > 0) UNIQUE, "
            "CONSTRAINT itself FOREIGN KEY (n) REFERENCES t)",
            ["foreign key itself", "foreign key t_n_fkey", "check small", "check t_n_check"],
        ),
        (
            "CREATE TABLE t (id serial PRIMARY KEY, n int CHECK (n > 1) CHECK (n > 0) CHECK (n < 9) "
            "UNIQUE REFERENCES t)",
            ["check t_n_check", "check t_n_check2"],
        ),
        (
            "CREATE TABLE s (id bigserial PRIMARY KEY, n int CHECK (n > 0) CHECK (n < 8) UNIQUE REFERENCES s); "
            "ALTER TABLE s ALTER id TYPE integer; ALTER TABLE s RENAME TO t",
            ["sequence s_id_seq", "sequence t_id_seq", "column id", "check s_n_check1", "check t_n_check"],
        ),
        (
            "CREATE SEQUENCE numbers AS integer; CREATE TABLE t (id int DEFAULT nextval('numbers') PRIMARY KEY, "
            "n int CHECK (n > 0) CHECK (n < 9) UNIQUE REFERENCES t); ALTER SEQUENCE numbers OWNED BY t.id",
            ["sequence numbers", "sequence t_id_seq", "column id"],
        ),
    ],
)
def test_names_that_nobody_chose(postgresql: Database, script: str, expected: list[str]) -> None:
    """They depend on the order of checks, and on what a table was called when it was made."""
    metadata = sa.MetaData()
    sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer, sa.ForeignKey("t.id"), unique=True),
        sa.CheckConstraint("n < 9"),
        sa.CheckConstraint("n > 0"),
    )
    found = compare_models(_migrator(postgresql, [sql_migration("1", "t", script)]), metadata)
    assert [f"{change.object.kind} {change.object.name}" for change in found] == expected, _said(found)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE MATERIALIZED VIEW x AS SELECT id, n FROM t; CREATE UNIQUE INDEX x_id ON x (id)",
        "CREATE VIEW x AS SELECT id, n FROM t; ALTER VIEW x ALTER n SET DEFAULT 3; COMMENT ON COLUMN x.n IS 'who'",
        "CREATE TYPE x AS (n varchar(3), m t)",
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
        "CREATE FOREIGN TABLE x (n integer DEFAULT 1 CHECK (n > 0), m t) SERVER s",
    ],
    ids=["materialized view", "view", "composite type", "foreign table"],
)
def test_parts_of_what_no_model_has(postgresql: Database, script: str) -> None:
    """They are dropped with the tables, or differ because of them, and are as little to be compared as their owners."""
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
    script = f"CREATE TABLE t (id serial PRIMARY KEY, n integer); {script}"
    assert _said(compare_models(_migrator(postgresql, [sql_migration("1", "t", script)]), metadata)) == []


def test_models_of_sequences(mariadb: Database) -> None:
    """Numbers come from one that the models make, too."""
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("x", sa.Integer, sa.Sequence("numbers", start=5)))
    script = "CREATE SEQUENCE numbers START WITH 5; CREATE TABLE t (x INT); CREATE VIEW v AS SELECT NEXTVAL(numbers)"
    assert _said(compare_models(_migrator(mariadb, [sql_migration("1", "t", script)]), metadata)) == []


# -- what a shadow database must not do


def test_the_name_of_the_database_means_the_shadow(mariadb: Database) -> None:
    """A script may name its database, and USE it: in the shadow it must not reach the database itself."""
    name = mariadb.name
    migrations = [
        sql_migration("1", "t", f"USE {name}; CREATE TABLE `{name}`.t (id INT)", f"DROP TABLE {name} . t"),
        sql_migration("2", "rows", f"INSERT INTO {name}.t VALUES (1)", f"DELETE FROM {name}.t WHERE {name}.t.id = 1"),
        sql_migration("3", "q", f"CREATE TABLE IF NOT EXISTS {name}.q (a INT)", f"DROP TABLE IF EXISTS {name}.q"),
        sql_migration("4", "charset", f"ALTER DATABASE {name} CHARACTER SET utf8mb4", "SELECT 1"),
    ]
    migrator = _migrator(mariadb, migrations)
    migrator.upgrade()
    mariadb.execute("INSERT INTO q VALUES (7)")

    assert _said(drift(migrator)) == []
    assert [done.error for done in replay(migrator)] == [None] * 4
    assert (mariadb.query("SELECT id FROM t"), mariadb.query("SELECT a FROM q")) == ([(1,)], [(7,)])

    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("id", sa.Integer), schema=name)
    assert [change.object.name for change in compare_models(migrator, metadata)] == ["q"]
    sa.Table("other", metadata, sa.Column("id", sa.Integer), schema="elsewhere")
    with pytest.raises(ConfigurationError, match="in other databases, too: elsewhere"):
        compare_models(migrator, metadata)
    assert mariadb.query("SHOW DATABASES LIKE 'elsewhere'") == []


@pytest.mark.parametrize(
    "script",
    [
        "INSERT INTO {other}.audit VALUES (1)",
        "CREATE TABLE IF NOT EXISTS {other}.marker (x INT)",
        "DROP TABLE IF EXISTS {other}.marker",
        "CREATE TABLE a (x INT); RENAME TABLE a TO `{other}`.a",
        "UPDATE users JOIN {other}.audit SET x = 1",
        "DELETE FROM {other} . audit",
        "CREATE TRIGGER t BEFORE INSERT ON {other}.audit FOR EACH ROW SET @x = 1",
        "CREATE PROCEDURE p() BEGIN DELETE FROM {other}.audit; END; CALL p()",
        "CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW DELETE FROM {other}.audit",
        "ANALYZE DELETE FROM {other}.audit",
        "SET STATEMENT max_statement_time = 1 FOR DELETE FROM {other}.audit",
        "CREATE VIEW v AS SELECT * FROM {other}.audit; DELETE FROM v",
        "ALTER DATABASE {other} CHARACTER SET latin1",
        "ALTER SCHEMA `{other}` COLLATE latin1_bin",
        "EXECUTE IMMEDIATE 'DELETE FROM {other}.audit'",
        "SET @s = 'DELETE FROM `{other}`.audit'; PREPARE p FROM @s; EXECUTE p",
    ],
)
def test_another_database_is_not_written_to(mariadb: Database, script: str) -> None:
    """A script that names one is not replayed."""
    other = mariadb.another()
    other.execute("CREATE TABLE audit (x INT)", "INSERT INTO audit VALUES (7)")
    migrator = _migrator(mariadb, [USERS, sql_migration("2", "a", script.format(other=other.name))])
    with pytest.raises(ConfigurationError, match=r"2_a\.up cannot be replayed: it names another database"):
        replay(migrator)
    assert (other.tables(), other.query("SELECT * FROM audit")) == (["audit"], [(7,)])


def test_the_database_itself_is_not_written_to_by_text(mariadb: Database) -> None:
    """In a text that is put together its name is not replaced by that of the shadow."""
    sql = f"SET @s = 'DELETE FROM {mariadb.name}.users'; PREPARE p FROM @s; EXECUTE p"
    migrator = _migrator(mariadb, [USERS, sql_migration("2", "a", sql)])
    migrator.upgrade()
    mariadb.execute("INSERT INTO users VALUES (7, 'Ada')")
    for look in (drift, replay):
        with pytest.raises(ConfigurationError, match=r"2_a\.up cannot be replayed: it names another database"):
            look(migrator)
    assert len(mariadb.query("SELECT * FROM users")) == 1


@pytest.mark.parametrize(
    "script",
    [
        "SET SESSION sort_buffer_size = 2097152, GLOBAL sort_buffer_size = 3097152",
        "SET @a = 1, @@global.sort_buffer_size = 3097152",
    ],
)
def test_settings_of_the_server_are_left_alone(mariadb: Database, script: str) -> None:
    """Wherever they stand in a statement."""
    before = mariadb.query("SELECT @@global.sort_buffer_size")
    assert [done.error for done in replay(_migrator(mariadb, [sql_migration("1", "a", script)]))] == [None]
    assert mariadb.query("SELECT @@global.sort_buffer_size") == before


def test_a_session_that_says_nothing_for_long_stays(mariadb: Database) -> None:
    """The one that has the lock of the shadow, whatever the limit is; that others end is no matter."""
    url = mariadb.url.update_query_dict({"init_command": "SET SESSION wait_timeout = 1"})
    migrator = Migrator(url, MemorySource([USERS, sql_migration("2", "slow", "DO SLEEP(2.5)")]))
    migrator.upgrade()
    assert drift(migrator) == ()
    assert len(replay(migrator)) == 2


def test_another_database_may_be_read(mariadb: Database) -> None:
    """And its name be that of something else."""
    other = mariadb.another()
    other.execute("CREATE TABLE audit (x INT)", "INSERT INTO audit VALUES (7)")
    script = f"""CREATE TABLE a (x INT); INSERT INTO a SELECT x FROM {other.name}.audit;
        INSERT INTO a SELECT {other.name}.audit.x FROM a JOIN {other.name}.audit;
        CREATE TABLE {other.name} (x INT); UPDATE {other.name} SET x = 1"""
    assert [done.trouble for done in replay(_migrator(mariadb, [sql_migration("1", "a", script)]))] == [""]


def test_programs_may_name_the_database(mariadb: Database) -> None:
    """Which the shadow is not; strings and comments are as they are."""
    name = mariadb.name
    script = f"""CREATE TABLE t (a INT);
        CREATE PROCEDURE {name}.p() BEGIN
            INSERT INTO `{name}`.t SELECT {name} . t.a FROM t,{name}.t AS c, (SELECT {name}.f(1)) AS b
            WHERE t.a =({name}.f(2)) AND 'FROM {name}.t' <> /* {name}.t */ '1';
        END;
        CREATE FUNCTION {name}.f(x INT) RETURNS INT READS SQL DATA RETURN x +(SELECT MAX(a) FROM
            {name}.t);
        CREATE TRIGGER {name}.u BEFORE INSERT ON {name}.t FOR EACH ROW SET NEW.a=(SELECT MAX(a) FROM {name}.t);
        CREATE EVENT {name}.e ON SCHEDULE EVERY 1 DAY DO INSERT INTO {name}.t VALUES (1)"""
    migrator = _migrator(mariadb, [sql_migration("1", "all", script)])
    migrator.upgrade()
    assert _said(drift(migrator)) == []

    mariadb.execute(f"CREATE OR REPLACE FUNCTION f(x INT) RETURNS INT READS SQL DATA RETURN x + '{name}.t'")
    assert [str(change.object) for change in drift(migrator)] == ["function f"]


def test_what_belongs_to_the_server_is_left_alone(database: Database) -> None:
    """Users and roles are there already, and are not dropped; rights on the shadow go with it."""
    role = f"{Path(database.name).stem}_someone"
    create, drop = {
        "postgresql": (f"CREATE ROLE {role}", f"DROP ROLE {role}"),
        "mariadb": (f"CREATE USER {role}", f"DROP USER {role}"),
        "sqlite": ("SELECT 1", "SELECT 1"),
    }[database.kind]
    grants = f"GRANT SELECT ON users TO {role}" if database.server else "SELECT 1"
    more = f"GRANT UPDATE (email) ON users TO {role}" if database.server else "SELECT 1"
    migrations = [
        USERS,
        sql_migration("2", "role", f"\n{create};\n{grants};\n{more}", f"REVOKE ALL ON users FROM {role}; {drop}"),
    ]
    if not database.server:
        migrations = [USERS]
    migrator = _migrator(database, migrations)
    migrator.upgrade()
    try:
        assert _said(drift(migrator)) == []
        assert [done.error for done in replay(migrator)] == [None] * len(migrations)
        if database.kind == "mariadb":
            for table in ("tables_priv", "columns_priv"):
                assert database.query(f"SELECT count(*) FROM mysql.{table} WHERE Db LIKE '%shadow%'") == [(0,)]
    finally:
        if database.kind == "postgresql":
            database.execute(f"DROP OWNED BY {role}")
        if database.server:
            database.execute(drop)


def test_no_right_on_the_shadow_is_left(mariadb: Database) -> None:
    """The server keeps those of users and roles when all is gone; those on the database itself are not given at all."""
    script = f"""CREATE TABLE t (a INT, b INT);
        CREATE PROCEDURE p() BEGIN END;
        CREATE FUNCTION f() RETURNS INT RETURN 1;
        GRANT SELECT, UPDATE (a) ON t TO READER WITH GRANT OPTION;
        GRANT SELECT (b) ON t TO ROLE WITH GRANT OPTION;
        GRANT EXECUTE ON PROCEDURE p TO READER;
        GRANT EXECUTE ON FUNCTION f TO ROLE;
        GRANT SELECT ON {mariadb.name}.* TO READER WITH GRANT OPTION;
        GRANT INSERT ON {mariadb.name}.* TO ROLE"""
    with mysql_history.people(mariadb) as named:
        migrator = _migrator(mariadb, [sql_migration("1", "all", named(script))])
        migrator.upgrade()

        assert (_said(drift(migrator)), len(replay(migrator))) == ([], 1)
        for table in ("db", "tables_priv", "columns_priv", "procs_priv"):
            kept = mariadb.query(f"SELECT DISTINCT Db FROM mysql.{table} WHERE Db LIKE '{mariadb.name}%'")
            assert kept == [(mariadb.name,)], table


def test_a_file_that_is_attached_is_refused(sqlite: Database, tmp_path: Any) -> None:
    """It would be written."""
    script = f"-- no-transaction\nATTACH '{tmp_path}/other.db' AS other;"
    migrator = _migrator(sqlite, [sql_migration("1", "a", script)])
    with pytest.raises(ConfigurationError, match=r"1_a\.up cannot be replayed: ATTACH reaches a file"):
        replay(migrator)


def test_a_file_is_not_written_by_a_shadow(sqlite: Database, tmp_path: Any) -> None:
    """Nor by VACUUM."""
    script = f"-- dbmigrate: no-transaction\nVACUUM INTO '{tmp_path}/other.db';"
    with pytest.raises(ConfigurationError, match="VACUUM reaches a file"):
        replay(_migrator(sqlite, [sql_migration("1", "a", script)]))


def test_a_session_that_is_left_open_is_ended(postgresql: Database) -> None:
    """By a function, or by who prepares the shadow: it is dropped all the same, and the error is the first one."""
    engines = list[sa.Engine]()

    def leave(connection: sa.Connection) -> None:
        engines.append(sa.create_engine(connection.engine.url))
        engines[-1].connect()

    def fail(connection: sa.Connection) -> None:
        leave(connection)
        raise RuntimeError("mine")

    assert len(replay(_migrator(postgresql, [USERS]), prepare=leave)) == 1
    with pytest.raises(RuntimeError, match="mine"):
        replay(_migrator(postgresql, [USERS]), prepare=fail)
    for engine in engines:
        engine.dispose()


def test_the_database_is_not_kept_in_a_transaction(postgresql: Database) -> None:
    """However long the replay takes."""
    postgresql.execute(f'ALTER DATABASE "{postgresql.name}" SET idle_in_transaction_session_timeout = 300')
    try:
        migrator = _migrator(postgresql, [sql_migration("1", "slow", "SELECT pg_sleep(0.7)")])
        migrator.upgrade()
        assert drift(migrator) == ()
        assert len(replay(migrator)) == 1
    finally:
        postgresql.execute(f'ALTER DATABASE "{postgresql.name}" RESET idle_in_transaction_session_timeout')


def test_words_of_a_comment_are_no_statement(mariadb: Database) -> None:
    """The shadow has the character set of the database, unless a script gives it another."""
    mariadb.execute(f"ALTER DATABASE {mariadb.name} CHARACTER SET latin1")
    script = "-- ALTER DATABASE is what the DBA did\nCREATE TABLE t (a VARCHAR(20) DEFAULT 'alter schema')"
    migrator = _migrator(mariadb, [sql_migration("1", "t", script)])
    migrator.upgrade()
    assert _said(drift(migrator)) == []


def test_an_event_that_is_over_is_no_drift(mariadb: Database) -> None:
    """The server disables it then."""
    soon = "CURRENT_TIMESTAMP + INTERVAL 1 SECOND ON COMPLETION PRESERVE DO SELECT 1"
    script = f"CREATE EVENT e ON SCHEDULE AT {soon}; CREATE EVENT f ON SCHEDULE EVERY 1 DAY ENDS {soon}"
    migrator = _migrator(mariadb, [sql_migration("1", "e", script)])
    migrator.upgrade()
    mariadb.execute("DO SLEEP(1.1)", "ALTER EVENT e DISABLE", "ALTER EVENT f DISABLE")
    assert _said(drift(migrator)) == []


def test_an_event_that_the_server_dropped_is_no_drift(mariadb: Database) -> None:
    """Its time is over; one that has no end is missed."""
    later = "'2036-01-01 00:00:00' DO SELECT 1"
    script = f"""CREATE EVENT e ON SCHEDULE AT {later}; CREATE EVENT f ON SCHEDULE EVERY 1 DAY ENDS {later};
        CREATE EVENT g ON SCHEDULE AT {later.replace("DO", "ON COMPLETION PRESERVE DO")};
        CREATE EVENT h ON SCHEDULE EVERY 1 DAY DO SELECT 1"""
    migrator = _migrator(mariadb, [sql_migration("1", "e", script)])
    migrator.upgrade()
    mariadb.execute("DROP EVENT e", "DROP EVENT f", "DROP EVENT g", "DROP EVENT h")
    assert [str(change).splitlines()[0] for change in drift(migrator)] == ["event g is gone", "event h is gone"]


def test_another_user_than_the_one_who_migrated_may_look(mariadb: Database) -> None:
    """Whoever migrated is the definer of what names none; any other one is told."""
    with mysql_history.people(mariadb) as named:
        reader = named("READER")
        script = f"""CREATE TABLE t (a INT); CREATE VIEW v AS SELECT a FROM t; CREATE PROCEDURE p() SELECT 1;
            CREATE TRIGGER u BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1;
            CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1;
            CREATE DEFINER = root@localhost VIEW w AS SELECT 1 AS a; CREATE DEFINER = {reader} PROCEDURE q() SELECT 1"""
        migrations = [sql_migration("1", "all", script)]
        migrators = [_migrator(mariadb, migrations)]
        migrators.append(Migrator(mariadb.url.set(username=reader), migrators[0].source))
        migrators[0].upgrade()
        mariadb.execute(f"GRANT ALL ON *.* TO {reader}")
        assert [_said(drift(migrator)) for migrator in migrators] == [[], []]

        mariadb.execute(
            "ALTER DEFINER = root@localhost VIEW v AS SELECT a FROM t", "CREATE OR REPLACE VIEW w AS SELECT 1 AS a"
        )
        for migrator in migrators:
            assert [str(change.object) for change in drift(migrator)] == ["view v", "view w"]


def test_when_an_event_was_made_is_no_drift(mariadb: Database) -> None:
    """It may begin an hour later than that."""
    script = "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS CURRENT_TIMESTAMP + INTERVAL 1 HOUR DO SELECT 1"
    migrator = _migrator(mariadb, [sql_migration("1", "e", script)])
    migrator.upgrade()
    threading.Event().wait(1.1)
    assert _said(drift(migrator)) == []
