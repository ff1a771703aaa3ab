"""The test infrastructure does what the other tests rely on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests import conftest, servers
from tests.conftest import Database, NotOurDatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=servers.KINDS)
def server(request: pytest.FixtureRequest) -> servers.Server:
    """The running server of each kind in turn."""
    return conftest.server_of(request.config, request.param)


def rows(server: servers.Server, name: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query, as a list because drivers differ."""
    engine = sqlalchemy.create_engine(server.url(name), poolclass=NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(statement))]


def home(server: servers.Server) -> str:
    """A database that every server of that kind has."""
    return "postgres" if server.kind == "postgresql" else "mysql"


# Servers


def test_kinds_agree() -> None:
    """The kinds of servers and of databases are the ones their types name."""
    assert get_args(servers.Kind) == servers.KINDS
    assert get_args(conftest.Kind) == conftest.KINDS


@pytest.mark.parametrize("tcp", [False, True], ids=["socket", "tcp"])
def test_every_driver_connects(server: servers.Server, tcp: bool) -> None:
    """Every driver reaches the server, by Unix socket and by TCP."""
    for driver in servers.DRIVERS[server.kind]:
        if servers.missing(driver):
            continue
        url = server.url(home(server), driver, tcp=tcp)
        engine = sqlalchemy.create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1


def test_a_url_survives_text(server: servers.Server) -> None:
    """A URL given to another process as text is the same URL there."""
    url = server.url(home(server))

    assert sqlalchemy.make_url(url.render_as_string(hide_password=False)) == url


def test_an_address_survives_json(server: servers.Server) -> None:
    """The workers of pytest-xdist get a server's address through JSON."""
    assert servers.Server.at(json.loads(json.dumps(server.address()))) == server


def test_many_connections_are_allowed(server: servers.Server) -> None:
    """Tests start dozens of processes at once."""
    variable = "SHOW max_connections"
    if server.kind == "mariadb":
        variable = "SELECT @@max_connections"
    [(allowed,)] = rows(server, home(server), variable)

    assert int(allowed) >= 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_no_server_runs_as_root(server: servers.Server) -> None:
    """A server of ours runs as an unprivileged user, also when we are root."""
    uid = Path(f"/proc/{server.pid}").stat().st_uid

    assert uid != 0
    assert server.directory.stat().st_uid == uid
    if os.geteuid() == 0:
        assert pwd.getpwuid(uid).pw_name in {"postgres", "mysql", "nobody"}
    else:
        assert uid == os.geteuid()


def gone(address: dict[str, Any]) -> bool:
    """Whether a server has ended and its directory is removed."""
    return not Path(address["directory"]).exists() and not alive(address["pid"])


def alive(pid: int) -> bool:
    """Whether there is such a process, a zombie that nobody waited for aside."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return state.rpartition(")")[2].split()[0] != "Z"
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# A process in the background of a script starts out deaf to Ctrl-C, and so do its children.
CONTROLLER = """
import json, os, signal, sys
from tests import servers
signal.signal(signal.SIGINT, signal.default_int_handler)
started = servers.start(sys.argv[1:])
lifeline = os.dup(0)
if os.environ["HOW"] == "fork" and os.fork() == 0:
    os.read(lifeline, 1)
    os._exit(0)
print(json.dumps([server.address() for server in started.values()]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def controller(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A process that has started a server of its own and waits, and that server's address."""
    kind, how = request.param
    conftest.server_of(request.config, kind)  # or the test is skipped
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, kind],
        cwd=ROOT,
        env={**os.environ, "HOW": how},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A terminal sends Ctrl-C to the whole group, which must not be ours.
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        [address] = json.loads(process.stdout.readline())
        yield process, address
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


# What watches over a server is the same for both kinds, and to start one takes seconds.
@pytest.mark.parametrize("controller", [("postgresql", "alone"), ("mariadb", "fork")], indirect=True, ids="-".join)
def test_servers_die_with_a_killed_controller(
    controller: tuple[subprocess.Popen[str], dict[str, Any]],
) -> None:
    """`kill -9` of the process that started a server ends it and removes its directory.

    That holds too while a forked child of that process lives on and holds all of its pipes.
    """
    process, address = controller
    assert not gone(address)

    process.kill()
    process.wait()

    assert eventually(lambda: gone(address))


@pytest.mark.parametrize("controller", [("mariadb", "alone")], indirect=True, ids="-".join)
def test_servers_die_on_ctrl_c(
    controller: tuple[subprocess.Popen[str], dict[str, Any]],
) -> None:
    """Ctrl-C, which a terminal sends to a whole group of processes, leaves nothing behind."""
    process, address = controller

    os.killpg(process.pid, signal.SIGINT)
    process.wait()

    assert eventually(lambda: gone(address))


def test_a_server_is_a_context_manager(server: servers.Server) -> None:
    """A benchmark gets a server of its own in one line, as durable as a real one."""
    start = servers.postgresql if server.kind == "postgresql" else servers.mariadb
    with start(durable=True) as own:
        assert own.pid != server.pid
        question = "SHOW fsync"
        if own.kind == "mariadb":
            question = "SELECT @@innodb_flush_log_at_trx_commit"
        [(answer,)] = rows(own, home(own), question)
        assert answer in {"on", 1}

    assert gone(own.address())


def test_a_missing_server_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a server that is not installed stands the reason."""

    def find_nothing(kind: servers.Kind) -> dict[str, Path]:
        raise servers.ServerUnavailableError(f"{kind} is not installed")

    monkeypatch.setattr(servers, "find_binaries", find_nothing)
    monkeypatch.setattr(servers, "install_missing", lambda _: ", nor to be had")

    assert servers.start(["mariadb"]) == {"mariadb": "mariadb is not installed, nor to be had"}
    with pytest.raises(servers.ServerUnavailableError, match="postgresql is not installed"):
        servers.postgresql()


# Only the suite's own databases are emptied


@pytest.mark.parametrize("name", ["production", "dbmigrate", "dbmigrate_test_", "xdbmigrate_test_a"])
def test_a_strange_name_is_not_emptied(server: servers.Server, name: str) -> None:
    """A database by another name is refused, whatever the server."""
    with pytest.raises(NotOurDatabaseError, match=name):
        conftest.empty(server, name)


@pytest.mark.kinds(*servers.KINDS)
def test_a_strange_server_is_not_touched(database: Database) -> None:
    """A database of the right name on a server that is not ours is left as it is."""
    assert database.server is not None
    strange = dataclasses.replace(database.server, data_directory=Path("/somewhere/else"))
    database.execute("CREATE TABLE precious (id integer)")
    before = database.dump()

    with pytest.raises(NotOurDatabaseError, match=r"not in /somewhere/else"):
        conftest.empty(strange, database.name)

    assert before == database.dump()
    conftest.empty(database.server, database.name)
    assert database.tables() == []


# Emptying


EVERYTHING = {
    "sqlite": [
        "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL DEFAULT 'x')",
        "CREATE INDEX users_name ON users (name)",
        "CREATE VIEW names AS SELECT name FROM users",
        "CREATE TRIGGER shout AFTER INSERT ON users BEGIN SELECT 1; END",
        "INSERT INTO users (name) VALUES ('100%')",
        "PRAGMA user_version = 7",
    ],
    "postgresql": [
        "CREATE EXTENSION IF NOT EXISTS plpgsql",
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (a integer, b text)",
        "CREATE TYPE span AS RANGE (subtype = integer)",
        "CREATE SEQUENCE counter START 5",
        (
            "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL DEFAULT 'x', mood mood,"
            " CONSTRAINT name_given CHECK (name <> ''))"
        ),
        (
            "CREATE TABLE posts (id bigint GENERATED ALWAYS AS IDENTITY, author integer"
            " REFERENCES users, due date, twice integer GENERATED ALWAYS AS (author * 2) STORED)"
        ),
        "CREATE INDEX posts_author ON posts (author)",
        "CREATE STATISTICS posts_statistics ON author, due FROM posts",
        "CREATE TABLE events (at date NOT NULL) PARTITION BY RANGE (at)",
        "CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2000-01-01')",
        "CREATE SCHEMA other",
        'CREATE TABLE other."Odd Name" (id integer)',
        "CREATE VIEW names AS SELECT name FROM users",
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users",
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1'",
        "CREATE AGGREGATE total (integer) (sfunc = int4pl, stype = integer, initcond = '0')",
        "CREATE TRIGGER shout BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION shout()",
        "CREATE RULE ignored AS ON DELETE TO users DO INSTEAD NOTHING",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY all_of_it ON users USING (true)",
        "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch()",
        "CREATE PUBLICATION news FOR TABLE users",
        "COMMENT ON COLUMN users.name IS 'as on the door'",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "SELECT lo_create(0)",
        ("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$"),
        "INSERT INTO users (name, mood) VALUES ('100%', 'happy')",
        "INSERT INTO posts (author, due) VALUES (1, 'infinity')",
        "INSERT INTO events VALUES ('1999-12-31')",
    ],
    "mariadb": [
        (
            "CREATE TABLE users (id integer AUTO_INCREMENT PRIMARY KEY, name varchar(20) NOT NULL"
            " DEFAULT 'x' COMMENT 'as on the door', CONSTRAINT name_given CHECK (name <> ''))"
        ),
        (
            "CREATE TABLE posts (id bigint PRIMARY KEY, author integer, due date,"
            " FOREIGN KEY (author) REFERENCES users (id)) WITH SYSTEM VERSIONING"
        ),
        "CREATE INDEX posts_due ON posts (due)",
        "CREATE VIEW names AS SELECT name FROM users",
        "CREATE SEQUENCE counter START WITH 5",
        "CREATE TRIGGER shout BEFORE INSERT ON users FOR EACH ROW SET NEW.name = upper(NEW.name)",
        "CREATE PROCEDURE nothing() SELECT 1",
        "CREATE FUNCTION one() RETURNS integer DETERMINISTIC RETURN 1",
        "CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
        "INSERT INTO users (name) VALUES ('100%')",
        "INSERT INTO posts (id, author) VALUES (1, 1)",
    ],
}

TABLES = {
    "sqlite": ["users"],
    "postgresql": ["events", "events_old", "other.Odd Name", "posts", "users"],
    "mariadb": ["posts", "users"],
}


def test_everything_vanishes(database: Database) -> None:
    """An emptied database is like a new one, whatever was in it."""
    empty = database.dump()
    database.execute(*EVERYTHING[database.kind])
    assert TABLES[database.kind] == database.tables()
    assert empty != database.dump()

    if database.server:
        conftest.empty(database.server, database.name)
        assert empty == database.dump()
    # SQLite has a file a test.
    assert database.another().tables() == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (id serial PRIMARY KEY)",
        "CREATE SCHEMA other CREATE TABLE t (id integer)",
        "DROP SCHEMA public",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "COMMENT ON SCHEMA public IS 'mine'",
        "SELECT lo_create(0)",
        "CREATE PUBLICATION news",
        "CREATE CAST (integer AS point) WITH INOUT",
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
        "CREATE TABLE pg_catalog.hidden (id integer)",
        "ALTER DATABASE {} SET work_mem = '5MB'",
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        "COMMENT ON DATABASE {} IS 'mine'",
    ],
)
def test_everything_vanishes_from_postgresql(postgresql: Database, statement: str) -> None:
    """Each kind of thing goes, if it is the only one, also where no schema holds it."""
    assert postgresql.server is not None

    def state() -> list[Any]:
        with postgresql.connect() as connection:
            # What refers to the first "public" is not there for the second one.
            catalogues = connection.execute(
                "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'pg_catalog'::regnamespace"
                " AND relname !~ '^pg_(statistic|depend|init_privs)' AND NOT relisshared"
            ).fetchall()
            counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone() for (name,) in catalogues}
            about = "SELECT datacl, shobj_description(oid, 'pg_database') FROM pg_database"
            about += " WHERE datname = current_database()"
            return [postgresql.schema(), counts, connection.execute(about).fetchall()]

    before = state()
    if "pg_catalog" in statement:
        postgresql.execute("SET allow_system_table_mods = on; " + statement)
    else:
        postgresql.execute(statement.format(postgresql.name))
    assert before != state()

    conftest.empty(postgresql.server, postgresql.name)

    assert before == state()


def test_emptying_ends_sessions(server: servers.Server, request: pytest.FixtureRequest) -> None:
    """Sessions that an earlier test forgot do not stand in the way."""
    name = f"dbmigrate_test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_sessions"
    conftest.empty(server, name)
    engine = sqlalchemy.create_engine(server.url(name), poolclass=NullPool)
    connection = engine.connect()
    request.addfinalizer(connection.invalidate)
    connection.execute(sqlalchemy.text("CREATE TABLE t (id integer)"))
    connection.execute(sqlalchemy.text("INSERT INTO t VALUES (1)"))

    conftest.empty(server, name)

    with pytest.raises(DBAPIError):
        connection.execute(sqlalchemy.text("SELECT 1"))


# Looking inside


def test_equal_databases_have_equal_dumps(database: Database) -> None:
    """What the same statements have made looks the same, in whatever database."""
    other = database.another()
    assert other.url != database.url
    for one in (database, other):
        one.execute(*EVERYTHING[database.kind])

    assert database.schema() == other.schema()
    assert database.dump() == other.dump()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX more ON users (name)",
        "ALTER TABLE users ADD COLUMN more integer",
        "DROP VIEW names",
        "DROP TRIGGER shout",
        "CREATE TABLE more (id integer)",
    ],
)
def test_a_difference_in_the_catalogue_shows(database: Database, statement: str) -> None:
    """A database that is different in one object has another schema."""
    database.execute(*EVERYTHING[database.kind])
    before = database.schema()
    if database.kind == "postgresql" and statement == "DROP TRIGGER shout":
        statement += " ON users"

    database.execute(statement)

    assert before != database.schema()


def test_a_difference_in_the_rows_shows(database: Database) -> None:
    """A database with other rows has another dump, but the same schema."""
    database.execute(*EVERYTHING[database.kind])
    schema, dump = database.schema(), database.dump()

    database.execute("UPDATE users SET name = 'somebody'")

    assert schema == database.schema()
    assert dump != database.dump()


def test_tables_can_be_left_out(database: Database) -> None:
    """A dump can leave out tables by prefix, with all that belongs to them."""
    key = "id integer PRIMARY KEY, name varchar(20)"
    database.execute(f"CREATE TABLE kept ({key})")
    before = database.dump(exclude="log_")
    assert before == database.dump()

    database.execute(
        f"CREATE TABLE log_a ({key})",
        "CREATE INDEX by_name ON log_a (name)",
        "INSERT INTO log_a VALUES (1, 'x')",
    )

    assert before == database.dump(exclude="log_")
    assert before != database.dump()
    assert database.tables() == ["kept", "log_a"]


def test_looking_creates_no_file(sqlite: Database) -> None:
    """To look into a SQLite database that does not exist finds nothing, and makes nothing."""
    assert sqlite.tables() == []
    assert sqlite.dump() == {"": []}
    assert sqlite.leftovers() == []
    assert not Path(sqlite.name).exists()


def test_statements_and_queries_reach_the_driver_as_written(database: Database) -> None:
    """Percent signs and colons are nothing special."""
    database.execute("CREATE TABLE t (a varchar(20))", "INSERT INTO t VALUES ('100% :x')")
    placeholder = "?" if database.kind == "sqlite" else "%s"

    assert database.query("SELECT a FROM t WHERE a LIKE '100%'") == [("100% :x",)]
    assert database.query(f"SELECT a FROM t WHERE a = {placeholder}", "100% :x") == [("100% :x",)]


# What is left open is noticed


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for what is known to stay."""
    monkeypatch.setattr(conftest, "_GRACE", 0.2)


@pytest.mark.usefixtures("impatient")
def test_an_idle_transaction_is_noticed(database: Database) -> None:
    """A transaction that a test forgot fails it."""
    database.execute("CREATE TABLE t (id integer)")
    with database.connect(autocommit=False) as connection:
        connection.cursor().execute("INSERT INTO t VALUES (1)")

        assert len(database.leftovers()) == 1
        connection.rollback()
        assert database.leftovers() == []
        connection.cursor().execute("INSERT INTO t VALUES (1)")

    assert database.leftovers() == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.kinds(*servers.KINDS)
def test_a_lock_is_noticed(database: Database) -> None:
    """An advisory lock that a live session still holds fails the test."""
    lock = "pg_advisory_lock(17)" if database.kind == "postgresql" else "GET_LOCK('held', 1)"
    with database.connect() as connection:
        connection.cursor().execute(f"SELECT {lock}")

        [problem] = database.leftovers()

    assert "17" in problem or "held" in problem
    assert database.leftovers() == []


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_is_not_returned_is_noticed(database: Database) -> None:
    """A connection that stays checked out of its pool fails the test."""
    engine = database.engine(poolclass=sqlalchemy.QueuePool)
    connection = engine.connect()

    [problem] = database.close()

    assert "connections not returned: 1" in problem
    connection.detach()  # its pool is gone
    connection.close()
    assert database.close() == []


@pytest.mark.usefixtures("impatient")
def test_a_pooled_session_with_a_lock_is_noticed(postgresql: Database) -> None:
    """A pool does not hide a lock that went back into it with its session."""
    engine = postgresql.engine(poolclass=sqlalchemy.QueuePool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(17)"))

    [problem] = postgresql.close()

    assert "advisory lock" in problem
    engine.dispose()


def test_a_session_that_is_closing_is_no_problem(database: Database) -> None:
    """A server notices only after a moment that a killed process has gone."""
    if database.kind == "sqlite":
        database.execute("CREATE TABLE t (id integer)")
    script = (
        "import sys, sqlalchemy, time\n"
        "connection = sqlalchemy.create_engine(sys.argv[1]).connect()\n"
        "connection.execute(sqlalchemy.text('CREATE TABLE u (id integer)'))\n"
        "connection.execute(sqlalchemy.text('INSERT INTO u VALUES (1)'))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, database.url.render_as_string(hide_password=False)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()

    assert database.leftovers() == []


# The run itself


def run_pytest(tmp_path: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test in a suite of its own that has our conftest."""
    package = tmp_path / "tests"
    (package / "faults").mkdir(parents=True)
    for name in ("__init__.py", "conftest.py", "servers.py", "faults/__init__.py", "faults/tally.py"):
        (package / name).symlink_to(Path(__file__).parent / name)
    (package / "test_it.py").write_text(test, encoding="utf-8")
    # Without pytest.ini the search for a configuration would go on upwards.
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "xdist", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        # Other plugins take most of the time.
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


ONE_TEST = "def test_it(database):\n    database.execute('CREATE TABLE t (id integer)')\n"


def test_a_database_that_is_left_out_is_named(tmp_path: Path) -> None:
    """Tests of a database that is left out are skipped, and the summary says so."""
    result = run_pytest(tmp_path, ONE_TEST, "--databases=sqlite")

    assert result.returncode == 0, result.stdout
    assert "1 passed, 2 skipped" in result.stdout
    assert "NOT TESTED: mariadb (left out by --databases)" in result.stdout
    assert "NOT TESTED: postgresql (left out by --databases)" in result.stdout


# Servers are looked for as always, but there is nothing where one looks; nor are two of the drivers.
MUCH_IS_MISSING = """
from tests import servers
servers._folders = lambda *_: []
servers._postgresql_folders = lambda: []
servers.install_missing = lambda _: ""
servers.install_missing_clients = lambda _: None
servers._MODULES = {**servers._MODULES, "pg8000": ("not_there", "pg8000"), "mysqldb": ("not_there", "mysqlclient")}
"""


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Tests of a database or driver that is not installed are skipped, and the summary says so."""
    (tmp_path / "missing.py").write_text(MUCH_IS_MISSING, encoding="utf-8")

    result = run_pytest(tmp_path, ONE_TEST, "-p", "missing", "-n", "2")

    assert result.returncode == 0, result.stdout
    assert "1 passed, 2 skipped" in result.stdout
    assert "NOT TESTED: postgresql (initdb is not installed)" in result.stdout
    assert "NOT TESTED: mariadb (mariadbd or mysqld is not installed)" in result.stdout
    assert "NOT TESTED: postgresql by pg8000 (pg8000 is not installed (No module named 'not_there'))" in result.stdout
    assert "NOT TESTED: mariadb by mysqldb (mysqlclient is not installed" in result.stdout


def test_what_is_missing_fails_if_required(tmp_path: Path) -> None:
    """With --require-servers there is no test run without all databases, and all drivers that the group lists."""
    (tmp_path / "missing.py").write_text(MUCH_IS_MISSING, encoding="utf-8")

    result = run_pytest(tmp_path, ONE_TEST, "-p", "missing", "--require-servers", "-n", "2")

    assert result.returncode == 1, result.stdout
    assert "A database is required but missing." in result.stdout
    assert "mariadb: mariadbd or mysqld is not installed" in result.stdout
    assert "postgresql by pg8000 (pg8000 is not installed" in result.stdout
    assert "mysqlclient" not in result.stdout
    assert "passed" not in result.stdout


EVERY_DRIVER = """
import pytest
pytestmark = pytest.mark.every_driver
def test_it(database):
    pass
@pytest.mark.kinds("sqlite", "mariadb")
def test_some(database):
    pass
def test_one(postgresql):
    pass
"""


def test_tests_run_with_every_driver(tmp_path: Path) -> None:
    """The mark multiplies a test by the drivers of each kind of database that it is for."""
    result = run_pytest(tmp_path, EVERY_DRIVER, "--collect-only", "-q")

    names = [line.partition("::")[2] for line in result.stdout.splitlines() if "::" in line]
    postgresql = ["postgresql", "postgresql-psycopg2", "postgresql-pg8000"]
    mariadb = ["mariadb", "mariadb-mysqldb", "mariadb-mysqlconnector"]
    assert names == [
        *(f"test_it[{name}]" for name in ("sqlite", *postgresql, *mariadb)),
        *(f"test_some[{name}]" for name in ("sqlite", *mariadb)),
        *(f"test_one[{name}]" for name in postgresql),
    ]


def test_drivers_are_not_multiplied_by_each_other(tmp_path: Path) -> None:
    """A test for every driver takes one database."""
    test = "import pytest\n@pytest.mark.every_driver\ndef test_it(sqlite, postgresql):\n    pass\n"

    result = run_pytest(tmp_path, test, "--collect-only", "-q")

    assert result.returncode != 0
    assert "with every driver take `database`, and mark its kinds" in result.stdout


def test_what_a_test_leaves_open_fails_it(tmp_path: Path) -> None:
    """The checks after each test are at work."""
    test = (
        "import tests.conftest\n"
        "tests.conftest._GRACE = 0.2\n"
        "def test_it(sqlite):\n"
        "    global connection\n"
        "    connection = sqlite.engine().connect()\n"
        "    connection.exec_driver_sql('CREATE TABLE t (id integer)')\n"
        "    connection.exec_driver_sql('INSERT INTO t VALUES (1)')\n"
    )

    result = run_pytest(tmp_path, test, "--databases=sqlite")

    assert result.returncode == 1, result.stdout
    assert "1 passed, 1 error" in result.stdout
    assert "connections not returned: 1" in result.stdout
    assert "somebody holds a lock" in result.stdout
