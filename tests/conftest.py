"""The databases that tests run against.

The servers are started once for a run, by the process that controls it; see `servers.py`.
Each test worker has one database on each server, and every test finds it empty. After each test
that used a database it is checked that nothing is left open on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import pytest
import sqlalchemy
from sqlalchemy.pool import QueuePool

from tests import servers
from tests.faults import tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Kind = Literal["sqlite", "postgresql", "mariadb"]

KINDS: Final[tuple[Kind, ...]] = ("sqlite", "postgresql", "mariadb")

#: The drivers for each kind of database; the first is the default.
DRIVERS: Final[dict[Kind, tuple[str, ...]]] = {
    "sqlite": ("pysqlite",),
    "postgresql": servers.DRIVERS["postgresql"],
    "mariadb": servers.DRIVERS["mariadb"],
}

#: No other database is ever emptied.
PREFIX: Final = "dbmigrate_test_"

# Processes are killed here, machines are not: what must outlive a process may be in memory, and is faster there.
_MEMORY: Final = "/dev/shm"  # noqa: S108 - only directories with random names are made in it
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2 << 30:
    tempfile.tempdir = _MEMORY

# A server needs a moment to notice that a client has gone.
_GRACE: Final = 3.0


# The run


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options about databases."""
    group = parser.getgroup("dbmigrate")
    group.addoption(
        "--databases",
        default=",".join(KINDS),
        metavar="KIND,...",
        help="the databases to test with (default: %(default)s)",
    )
    group.addoption(
        "--require-servers",
        action="store_true",
        help="fail if a database server, a driver or a tool is missing, instead of skipping its tests",
    )
    group.addoption(
        "--write-faults",
        action="store_true",
        help="put the table of the faults that this run injects into the README",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marks about databases."""
    config.addinivalue_line(
        "markers", "every_driver: run with every driver of a database, not only with the default one"
    )
    config.addinivalue_line("markers", "default_driver: nevertheless only with the default one")
    config.addinivalue_line("markers", "fault(name, kind=None): the fault that the test injects; see faults/tally.py")
    config.pluginmanager.register(tally.Tally(), "dbmigrate-tally")
    config.addinivalue_line("markers", "kinds(*kinds): the kinds of database that the fixture `database` is to be of")


def pytest_xdist_auto_num_workers() -> int:
    """Four even on two cores, for tests wait a lot; no more, for each may use many connections."""
    return 4


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of what each collection of garbage goes through."""
    gc.collect()
    gc.freeze()


_Servers = dict[servers.Kind, servers.Server | str]

_SERVERS: Final = pytest.StashKey[_Servers]()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the servers, before pytest-xdist starts the workers that use them."""
    config = session.config
    if _is_worker(config):
        config.stash[_SERVERS] = _unpack(cast("Any", config).workerinput["dbmigrate_servers"])
        return
    if config.option.collectonly:
        config.stash[_SERVERS] = {}
        return
    chosen = _chosen(config)
    result: _Servers = dict.fromkeys(servers.KINDS, "left out by --databases")
    wanted: list[servers.Kind] = []
    for kind in servers.KINDS:
        problem = servers.missing(servers.DRIVERS[kind][0])
        if kind in chosen and problem:
            result[kind] = problem
        elif kind in chosen:
            wanted.append(kind)
    result |= servers.start(wanted)
    running = [kind for kind in wanted if not isinstance(result[kind], str)]
    poolers = ["pooler"] if "postgresql" in running else []
    servers.install_missing_clients([*running, *poolers, *({"sqlite"} & chosen)])
    config.stash[_SERVERS] = result
    missing = [f"{kind}: {server}" for kind, server in result.items() if kind in chosen and isinstance(server, str)]
    listed = _listed()
    missing += [line for distribution, line in _missing_drivers(config).items() if distribution in listed]
    if missing and config.getoption("--require-servers"):
        pytest.exit("\n".join(["A database is required but missing.", *missing]), returncode=1)


def _missing_drivers(config: pytest.Config) -> dict[str, str]:
    """The distributions of drivers that tests could run with and cannot, and what there is to say about each."""
    return {
        servers.distribution(driver): f"{kind} by {driver} ({problem})"
        for kind in servers.KINDS
        if kind in _chosen(config)
        for driver in servers.DRIVERS[kind]
        if (problem := servers.missing(driver))
    }


def _listed() -> set[str]:
    """The distributions that the tests are to have for certain; a driver that needs a compiler is not among them."""
    file = Path(__file__).resolve().parent.parent / "pyproject.toml"
    group = tomllib.loads(file.read_text(encoding="utf-8"))["dependency-groups"]["test"]
    return {re.split(r"[^\w.-]", entry)[0] for entry in group}


def _chosen(config: pytest.Config) -> set[str]:
    chosen = set(str(config.getoption("--databases")).split(","))
    if unknown := chosen - set(KINDS):
        raise pytest.UsageError(f"--databases: {', '.join(sorted(unknown))}: no such database")
    return chosen


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the servers are."""
    node.workerinput["dbmigrate_servers"] = _pack(node.config.stash[_SERVERS])


def _pack(result: _Servers) -> str:
    return json.dumps(
        {kind: server if isinstance(server, str) else server.address() for kind, server in result.items()}
    )


def _unpack(packed: str) -> _Servers:
    return {
        kind: server if isinstance(server, str) else servers.Server.at(server)
        for kind, server in json.loads(packed).items()
    }


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers. This runs after Ctrl-C as well."""
    while _OUTSIDE:
        _OUTSIDE.popitem()[1].close()
    for server in config.stash.get(_SERVERS, {}).values():
        if isinstance(server, servers.Server):
            server.stop()  # does nothing in a worker


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say plainly which databases were not tested."""
    for kind, server in config.stash.get(_SERVERS, {}).items():
        if isinstance(server, str):
            terminalreporter.write_line(f"NOT TESTED: {kind} ({server})", yellow=True)
    for line in _missing_drivers(config).values():
        terminalreporter.write_line(f"NOT TESTED: {line}", yellow=True)
    if "sqlite" not in _chosen(config):
        terminalreporter.write_line("NOT TESTED: sqlite (left out by --databases)", yellow=True)


# The fixtures


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the fixtures below their databases: each kind, with its default driver or with every one."""
    names = [name for name in ("database", *KINDS) if name in metafunc.fixturenames]
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    every = "every_driver" in marks and "default_driver" not in marks
    if every and len(names) > 1:
        # All of one by all of the other would be a lot, and say no more.
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: with every driver take `database`, and mark its kinds")
    for name in names:
        mark = metafunc.definition.get_closest_marker("kinds")
        wanted = [name] if name in KINDS else mark.args if mark else KINDS
        kinds: list[Kind] = [kind for kind in KINDS if kind in wanted]
        drivers: list[tuple[Kind, str]] = [(k, driver) for k in kinds for driver in DRIVERS[k][: None if every else 1]]
        if name == "database" or len(drivers) > 1:
            ids = [f"{kind}-{driver}" if driver in DRIVERS[kind][1:] else kind for kind, driver in drivers]
            metafunc.parametrize(name, drivers, ids=ids, indirect=True)


@pytest.fixture
def kit_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One such test at a time, of all workers: it counts and drops the databases of the kit on the whole server."""
    with (tmp_path_factory.getbasetemp().parent / "kit.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind in turn, or of those that the mark `kinds` names."""
    kind, driver = request.param
    yield from _database(kind, driver, request.config, tmp_path)


@pytest.fixture
def sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database. Its file does not exist yet."""
    yield from _one("sqlite", request, tmp_path)


@pytest.fixture
def postgresql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty PostgreSQL database."""
    yield from _one("postgresql", request, tmp_path)


@pytest.fixture
def mariadb(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty MariaDB database."""
    yield from _one("mariadb", request, tmp_path)


def _one(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    _, driver = getattr(request, "param", (kind, DRIVERS[kind][0]))
    yield from _database(kind, driver, request.config, tmp_path)


def _database(
    kind: Kind, driver: str, config: pytest.Config, tmp_path: Path, own: servers.Server | None = None
) -> Iterator[Database]:
    made: list[Database] = []

    def make() -> Database:
        number = f"_{len(made) + 1}" if made else ""
        if kind == "sqlite":
            database = Database(kind, str(tmp_path / f"database{number}.sqlite"), driver, make)
        else:
            worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
            server = own or server_of(config, kind)
            database = Database(kind, f"{PREFIX}{worker}{number}", driver, make, server)
            empty(server, database.name)
        made.append(database)
        return database

    if kind not in _chosen(config):
        pytest.skip("left out by --databases")
    if kind != "sqlite" and (problem := servers.missing(driver)):
        pytest.skip(f"{driver}: {problem}")
    yield make()
    problems = [problem for database in made for problem in database.close()]
    if problems:
        pytest.fail("left open by the test:\n" + "\n".join(problems), pytrace=False)


def server_of(config: pytest.Config, kind: servers.Kind) -> servers.Server:
    """The running server of that kind; without one the test is skipped."""
    server = config.stash[_SERVERS][kind]
    if isinstance(server, str):
        pytest.skip(f"{kind}: {server}")
    return server


# One database


@dataclass
class Database:
    """A database of a test, empty at first, and the means to look into it.

    What looks inside (`execute`, `query`, `schema` and so on) uses a connection of its own, made
    by the driver alone, in autocommit.
    """

    kind: Kind
    #: SQLite: the path of the file. Otherwise: the database's name on the server.
    name: str
    #: The driver to test with.
    driver: str
    _make: Callable[[], Database] = field(repr=False)
    server: servers.Server | None = None
    _engines: list[sqlalchemy.Engine] = field(default_factory=list, repr=False)
    _look: Any = field(default=None, repr=False)

    @property
    def url(self) -> sqlalchemy.URL:
        """The URL for the driver to test with. It works in any process and holds no password."""
        return self.url_for(self.driver)

    @property
    def is_default(self) -> bool:
        """Whether the driver is the one that tests have the most time for."""
        return self.driver == DRIVERS[self.kind][0]

    def url_for(self, driver: str, *, tcp: bool = False) -> sqlalchemy.URL:
        """The URL for a driver, by Unix socket unless `tcp` is asked for.

        A full name such as "mariadb+pymysql" will do too.
        """
        if self.server:
            return self.server.url(self.name, driver, tcp=tcp)
        name = driver if "+" in driver else f"sqlite+{driver}"
        return sqlalchemy.URL.create(name, database=self.name)

    def engine(self, driver: str | None = None, **options: Any) -> sqlalchemy.Engine:
        """A new engine. It is disposed of after the test, and must have its connections back."""
        url = self.url_for(driver) if driver else self.url
        engine = sqlalchemy.create_engine(url, **options)
        self._engines.append(engine)
        return engine

    def another(self) -> Database:
        """One more empty database of the same kind, for comparisons."""
        return self._make()

    @contextlib.contextmanager
    def connect(self, *, autocommit: bool = True) -> Iterator[Any]:
        """A connection of the default driver itself, outside SQLAlchemy."""
        if self.server:
            connection = _connect(self.server, self.name, autocommit=autocommit)
        else:
            # Without the legacy transactions of this driver BEGIN is the caller's to say.
            connection = sqlite3.connect(self.name, isolation_level=None if autocommit else "DEFERRED")
            # As a database holds any bytes, looking must not fail.
            connection.text_factory = _lenient
        with contextlib.closing(connection):
            yield connection

    @contextlib.contextmanager
    def looking(self) -> Iterator[Any]:
        """The connection of what looks inside: on a server the same for the whole test, for they are dear there."""
        if self.server is None or threading.current_thread() is not threading.main_thread():
            with self.connect() as connection:
                yield connection
            return
        if self._look is not None and not _is_alive(self._look, self.kind):
            self._look = self._look.close()
        if self._look is None:
            self._look = _connect(self.server, self.name)
        yield self._look

    def execute(self, *statements: str) -> None:
        """Run statements, each committed by itself, as they are: without parameters."""
        with self.looking() as connection, contextlib.closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(_sent(self.kind, statement))

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query; parameters are in the style of the default driver."""
        with self.looking() as connection:
            return _rows(connection, self.kind, statement, *parameters)

    def tables(self) -> list[str]:
        """The names of the tables, sorted; outside PostgreSQL's schema "public" with schema."""
        return [] if self._is_absent() else sorted(_TABLES[self.kind](self))

    def schema(self, exclude: str | tuple[str, ...] = ()) -> list[str]:
        """Everything in the catalogue, a line each, in an order that depends on nothing else.

        Two databases with equal schemas have the same tables, columns, constraints, indexes,
        views, triggers, routines, sequences, types, comments, and so on. A table whose name starts
        with `exclude` is left out with all that belongs to it, and so is anything else by such a
        name that belongs to no table.
        """
        if self._is_absent():
            return []
        lines = _SCHEMA[self.kind](self)
        return sorted(line for name, line in lines if not name.startswith(exclude))

    def dump(self, exclude: str | tuple[str, ...] = ()) -> dict[str, list[str]]:
        """The schema, under "", and all rows of all tables, sorted: for comparisons."""
        result = {"": self.schema(exclude)}
        for table in self.tables():
            name = table.rpartition(".")[2] if self.kind == "postgresql" else table
            if not name.startswith(exclude):
                result[table] = self._rows_of(table)
        return result

    def leftovers(self) -> list[str]:
        """What is still open on this database: idle transactions, locks of live sessions.

        What is about to close gets a moment to do so.
        """
        if self._is_absent():
            return []
        deadline = time.monotonic() + _GRACE
        while True:
            found = _LEFTOVERS[self.kind](self)
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def close(self) -> list[str]:
        """Dispose of the engines. Return what was left open on them or on the database."""
        problems = [
            f"{engine!r}: connections not returned: {engine.pool.checkedout()}"
            for engine in self._engines
            if isinstance(engine.pool, QueuePool) and engine.pool.checkedout()
        ]
        # Before the engines go: to close a connection in their pool would hide what it holds.
        problems += self.leftovers()
        if self._look is not None:
            self._look = self._look.close()
        for engine in self._engines:
            engine.dispose()
        return problems

    def _is_absent(self) -> bool:
        # To connect would create the file, and some tests care that nobody did.
        return self.kind == "sqlite" and not os.path.exists(self.name)  # noqa: PTH110

    def _rows_of(self, table: str) -> list[str]:
        if self.kind == "postgresql":
            # As text: not every value has a Python equivalent ("infinity" for a date).
            schema, _, name = table.rpartition(".")
            source = ".".join(_quoted(part, '"') for part in (schema or "public", name))
            rows = self.query(f"SELECT CAST(t AS text) FROM ONLY {source} t")
        else:
            rows = self.query(f"SELECT * FROM {_quoted(table, '`')}")
        return sorted(repr(row) for row in rows)


def _quoted(name: str, quote: str) -> str:
    return quote + name.replace(quote, quote * 2) + quote


def _lenient(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _connect(server: servers.Server, name: str, *, autocommit: bool = True) -> Any:
    if server.kind == "postgresql":
        import psycopg

        return psycopg.connect(
            prepare_threshold=None,
            host=str(server.socket),
            port=server.port,
            user=servers.USER,
            dbname=name,
            autocommit=autocommit,
        )
    import pymysql

    return pymysql.connect(
        unix_socket=str(server.socket),
        user=servers.USER,
        database=name,
        autocommit=autocommit,
        ssl_disabled=True,
    )


def _sent(kind: Kind, statement: str) -> str | bytes:
    # psycopg takes a str only where it is a literal in the source; bytes mean "I know".
    return statement.encode() if kind == "postgresql" else statement


def _rows(connection: Any, kind: Kind, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(connection.cursor()) as cursor:
        # Without parameters the drivers leave "%" alone.
        cursor.execute(_sent(kind, statement), *([parameters] if parameters else []))
        return [tuple(row) for row in cursor.fetchall()]


def _is_alive(connection: Any, kind: Kind) -> bool:
    try:
        return bool(_rows(connection, kind, "SELECT 1"))
    except Exception:  # noqa: BLE001 - each driver has its own
        return False


# Emptying a database


class NotOurDatabaseError(Exception):
    """This database was not made by this suite, and has not been touched."""


def empty(server: servers.Server, name: str) -> None:
    """Make the database of that name empty, if it is the suite's own; create it if need be.

    Sessions that are still connected to it are ended first.

    Raises:
        NotOurDatabaseError: The name or the server is not the suite's.
    """
    connection = _outside(server)
    check_own(connection, server, name)
    if server.kind == "postgresql":
        _empty_postgresql(connection, server, name)
    else:
        _empty_mariadb(connection, name)


#: By the kinds and directories of the servers: connections are the dearest thing that a test asks of them.
_OUTSIDE: Final[dict[tuple[Kind, str], Any]] = {}


def _outside(server: servers.Server) -> Any:
    """The connection of this process to a database of the server that is no test's."""
    key = (server.kind, str(server.data_directory))
    if key in _OUTSIDE and not _is_alive(_OUTSIDE[key], server.kind):
        _OUTSIDE.pop(key).close()
    if key not in _OUTSIDE:
        _OUTSIDE[key] = _connect(server, "postgres" if server.kind == "postgresql" else "mysql")
    return _OUTSIDE[key]


def check_own(connection: Any, server: servers.Server, name: str) -> None:
    """Raise `NotOurDatabaseError` unless the database is one that this suite may empty.

    A name alone proves little, and ports and sockets may be somebody else's by now: only the
    data directory tells which server has answered.
    """
    if not re.fullmatch(re.escape(PREFIX) + "[a-z0-9_]+", name):
        raise NotOurDatabaseError(f"{name!r} does not start with {PREFIX!r}")
    question = "SHOW data_directory" if server.kind == "postgresql" else "SELECT @@datadir"
    [(answer,)] = _rows(connection, server.kind, question)
    if os.path.realpath(answer) != os.path.realpath(server.data_directory):
        raise NotOurDatabaseError(f"the server's data are in {answer}, not in {server.data_directory}")


# Everything in a schema; most tests leave nothing else. A database is born with `public` as here.
_EMPTY_POSTGRESQL: Final = """
DO $$
DECLARE
    name text;
BEGIN
    SET LOCAL client_min_messages = warning;
    FOR name IN SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    IF current_setting('server_version_num')::integer >= 150000 THEN
        CREATE SCHEMA public AUTHORIZATION pg_database_owner;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
    ELSE
        CREATE SCHEMA public;
        GRANT ALL ON SCHEMA public TO PUBLIC;
    END IF;
    COMMENT ON SCHEMA public IS 'standard public schema';
END
$$
"""

# What is left after that. Numbers below 16384 are for what comes with the server.
_REMAINS: Final = """
SELECT 1 FROM pg_class WHERE oid >= 16384
UNION ALL SELECT 1 FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 1 FROM pg_type WHERE oid >= 16384
UNION ALL SELECT 1 FROM pg_cast WHERE oid >= 16384
UNION ALL SELECT 1 FROM pg_language WHERE oid >= 16384
UNION ALL SELECT 1 FROM pg_extension WHERE oid >= 16384
UNION ALL SELECT 1 FROM pg_event_trigger
UNION ALL SELECT 1 FROM pg_publication
UNION ALL SELECT 1 FROM pg_foreign_data_wrapper
UNION ALL SELECT 1 FROM pg_default_acl
UNION ALL SELECT 1 FROM pg_largeobject_metadata
UNION ALL SELECT 1 FROM pg_database d WHERE datname = current_database() AND (
    datacl IS NOT NULL OR shobj_description(oid, 'pg_database') IS NOT NULL
    OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = d.oid))
"""


def _empty_postgresql(connection: Any, server: servers.Server, name: str) -> None:
    import psycopg

    # Given a time to wait for, pg_terminate_backend() looks every 100 ms only, and most sessions are just ending.
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    deadline = time.monotonic() + 30
    while left := _rows(connection, "postgresql", ending, name):
        assert time.monotonic() < deadline, f"{len(left)} sessions do not end"
        time.sleep(0.002)
    with (
        # There is no such database yet, or something objects, such as an event trigger.
        contextlib.suppress(psycopg.Error),
        contextlib.closing(_connect(server, name)) as inside,
    ):
        inside.execute(_EMPTY_POSTGRESQL)
        if not _rows(inside, "postgresql", _REMAINS):
            return
    # This forgets nothing, but makes and removes hundreds of files, which can take long.
    connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
    connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())


def _empty_mariadb(connection: Any, name: str) -> None:
    import pymysql

    sessions = "SELECT id FROM information_schema.processlist WHERE db = %s"
    deadline = time.monotonic() + 30
    with connection.cursor() as cursor:
        # A session may hold locks that DROP DATABASE would wait for.
        while left := _rows(connection, "mariadb", sessions, name):
            for (session,) in left:
                with contextlib.suppress(pymysql.err.OperationalError):  # it has ended meanwhile
                    cursor.execute(f"KILL {session}")
            assert time.monotonic() < deadline, f"sessions that cannot be killed: {left}"
            time.sleep(0.005)
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
        cursor.execute(f"CREATE DATABASE `{name}`")


# What is left open


def _sqlite_leftovers(database: Database) -> list[str]:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database.name}?mode=rw", uri=True, timeout=0)) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        # A test may have left a file that cannot be opened or is no database; that is its right.
        if "locked" in str(error):
            return [f"{database.name}: somebody holds a lock"]
    return []


def _postgresql_leftovers(database: Database) -> list[str]:
    assert database.server is not None
    connection = _outside(database.server)
    idle = _rows(
        connection,
        database.kind,
        "SELECT pid, state, query FROM pg_stat_activity"
        " WHERE datname = %s AND starts_with(state, 'idle in transaction')",
        database.name,
    )
    held = _rows(
        connection,
        database.kind,
        "SELECT l.pid, l.classid, l.objid, l.objsubid"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND a.datname = %s",
        database.name,
    )
    return [
        *(f"session {pid} is {state}; its last query: {query}" for pid, state, query in idle),
        *(f"session {pid} holds advisory lock {key}" for pid, *key in held),
    ]


def _mariadb_leftovers(database: Database) -> list[str]:
    # A transaction that has touched a table holds a lock on its definition. innodb_trx would be
    # the other place to look, but it shows an old state as long as somebody keeps reading it.
    assert database.server is not None
    held = _rows(
        _outside(database.server),
        database.kind,
        "SELECT l.thread_id, l.lock_type, l.table_schema, l.table_name"
        " FROM information_schema.metadata_lock_info l"
        " JOIN information_schema.processlist p ON p.id = l.thread_id"
        " WHERE p.db = %s AND (p.command = 'Sleep' OR l.lock_type = 'User lock')",
        database.name,
    )
    return [
        f"session {session} holds the user lock {schema!r}"
        if lock_type == "User lock"
        else f"session {session} is idle in a transaction that has used {schema}.{table}"
        for session, lock_type, schema, table in held
    ]


_LEFTOVERS: Final[dict[Kind, Callable[[Database], list[str]]]] = {
    "sqlite": _sqlite_leftovers,
    "postgresql": _postgresql_leftovers,
    "mariadb": _mariadb_leftovers,
}


# What is in a database. Lines come with the name to exclude them by.

_Lines = list[tuple[str, str]]


def _sqlite_tables(database: Database) -> Sequence[str]:
    rows = database.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*'")
    return [name for (name,) in rows]


def _sqlite_schema(database: Database) -> _Lines:
    rows = database.query("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'")
    lines = [(table, f"{type_} {name} on {table}: {sql}") for type_, name, table, sql in rows]
    for pragma in ("user_version", "application_id", "journal_mode", "encoding"):
        [(value,)] = database.query(f"PRAGMA {pragma}")
        lines.append(("", f"pragma {pragma}: {value}"))
    return lines


def _postgresql_tables(database: Database) -> Sequence[str]:
    rows = database.query(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'f')"
        r" AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    )
    return [name if schema == "public" else f"{schema}.{name}" for schema, name in rows]


_POSTGRESQL_SCHEMA: Final = r"""
WITH ns AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), from_extension AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), rel AS (
    SELECT c.*, n.nspname,
        -- Indexes and owned sequences go with their table.
        coalesce(owner.relname, c.relname) AS belongs_to,
        format('%I.%I', n.nspname, c.relname) AS full_name
    FROM pg_class c JOIN ns n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
        AND c.relkind = 'S'
    LEFT JOIN pg_class owner ON owner.oid = coalesce(i.indrelid, d.refobjid)
    WHERE NOT EXISTS (SELECT FROM from_extension e
                      WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
)
SELECT nspname, format('schema %I owner=%s acl=%s comment=%s', nspname, nspowner::regrole, nspacl,
                       obj_description(oid, 'pg_namespace'))
FROM ns
UNION ALL
SELECT belongs_to, format(
    'relation %s kind=%s owner=%s persistence=%s options=%s acl=%s rls=%s,%s replica_identity=%s'
    ' partition_by=%s bound=%s parents=%s populated=%s comment=%s definition=%s',
    full_name, relkind, relowner::regrole, relpersistence, reloptions, relacl,
    relrowsecurity, relforcerowsecurity, relreplident,
    CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END, pg_get_expr(relpartbound, oid),
    ARRAY(SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = rel.oid ORDER BY inhseqno),
    relispopulated, obj_description(oid, 'pg_class'),
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END)
FROM rel WHERE relkind NOT IN ('i', 'I', 't')
UNION ALL
SELECT belongs_to, format(
    'column %s.%s %I %s not_null=%s default=%s identity=%s generated=%s collation=%s storage=%s'
    ' acl=%s comment=%s',
    full_name, lpad((row_number() OVER (PARTITION BY rel.oid ORDER BY attnum))::text, 4, '0'),
    attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
    attidentity, attgenerated, attcollation::regcollation, attstorage, attacl,
    col_description(rel.oid, attnum))
FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind NOT IN ('i', 'I', 't', 'S')
UNION ALL
SELECT coalesce(belongs_to, typname), format('constraint %s on %s: %s comment=%s', conname,
    coalesce(full_name, contypid::regtype::text), pg_get_constraintdef(con.oid),
    obj_description(con.oid, 'pg_constraint'))
FROM pg_constraint con JOIN ns ON ns.oid = connamespace
LEFT JOIN rel ON rel.oid = conrelid LEFT JOIN pg_type typ ON typ.oid = contypid
UNION ALL
SELECT belongs_to, format('index %s: %s valid=%s ready=%s clustered=%s options=%s comment=%s',
    full_name, pg_get_indexdef(oid), indisvalid, indisready, indisclustered, reloptions,
    obj_description(oid, 'pg_class'))
FROM rel JOIN pg_index ON indexrelid = oid
UNION ALL
SELECT belongs_to, format('trigger %s enabled=%s comment=%s', pg_get_triggerdef(t.oid), tgenabled,
    obj_description(t.oid, 'pg_trigger'))
FROM pg_trigger t JOIN rel ON rel.oid = tgrelid WHERE NOT tgisinternal
UNION ALL
SELECT belongs_to, format('rule %s enabled=%s', pg_get_ruledef(r.oid), ev_enabled)
FROM pg_rewrite r JOIN rel ON rel.oid = ev_class WHERE rulename <> '_RETURN'
UNION ALL
SELECT belongs_to, format('policy %I on %s: %s permissive=%s roles=%s using=%s check=%s', polname,
    full_name, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid),
    pg_get_expr(polwithcheck, polrelid))
FROM pg_policy JOIN rel ON rel.oid = polrelid
UNION ALL
SELECT belongs_to, format('sequence %s as %s start=%s by=%s min=%s max=%s cache=%s cycle=%s',
    full_name, seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle)
FROM pg_sequence JOIN rel ON rel.oid = seqrelid
UNION ALL
SELECT stxname, format('statistics %s: %s', stxname, pg_get_statisticsobjdef(s.oid))
FROM pg_statistic_ext s JOIN ns ON ns.oid = stxnamespace
UNION ALL
SELECT proname, format('routine %s(%s) owner=%s acl=%s comment=%s: %s', p.oid::regproc,
    pg_get_function_identity_arguments(p.oid), proowner::regrole, proacl,
    obj_description(p.oid, 'pg_proc'),
    CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid)
         ELSE (SELECT format('aggregate %s %s %s', aggtransfn, aggtranstype::regtype, agginitval)
               FROM pg_aggregate WHERE aggfnoid = p.oid) END)
FROM pg_proc p JOIN ns ON ns.oid = pronamespace
WHERE NOT EXISTS (SELECT FROM from_extension e
                  WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
SELECT typname, format(
    'type %s kind=%s owner=%s acl=%s labels=%s base=%s not_null=%s default=%s range=%s comment=%s',
    t.oid::regtype, typtype, typowner::regrole, typacl,
    ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder),
    CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END, typnotnull, typdefault,
    (SELECT rngsubtype::regtype FROM pg_range WHERE rngtypid = t.oid),
    obj_description(t.oid, 'pg_type'))
FROM pg_type t JOIN ns ON ns.oid = typnamespace
-- The row types of tables and the array types go with what they were made for.
WHERE typtype IN ('d', 'e', 'r') AND NOT EXISTS (
    SELECT FROM from_extension e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
SELECT '', format('%s is %s', pg_describe_object(classoid, objoid, objsubid), definition)
FROM (
    SELECT 'pg_operator'::regclass AS classoid, oid AS objoid, 0 AS objsubid,
        format('%s commutator=%s negator=%s restrict=%s join=%s merges=%s hashes=%s', oprcode, oprcom::regoperator,
               oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash) AS definition
    FROM pg_operator
    UNION ALL
    SELECT 'pg_cast'::regclass, oid, 0, format('%s %s %s', castfunc::regprocedure, castcontext, castmethod) FROM pg_cast
    UNION ALL
    SELECT 'pg_ts_config'::regclass, c.oid, 0, format('parsed by %s', prsname)
    FROM pg_ts_config c JOIN pg_ts_parser p ON p.oid = cfgparser
    UNION ALL
    SELECT 'pg_collation'::regclass, oid, 0,
        format('%s %s %s deterministic=%s', collprovider, collcollate, collctype, collisdeterministic)
    FROM pg_collation
    UNION ALL
    -- Comments on what has no line of its own with a place for them.
    SELECT classoid, objoid, objsubid, format('described as %L', description) FROM pg_description
    WHERE classoid::regclass::text IN ('pg_catalog.pg_cast', 'pg_catalog.pg_operator', 'pg_catalog.pg_policy',
        'pg_catalog.pg_rewrite', 'pg_catalog.pg_statistic_ext', 'pg_catalog.pg_ts_config', 'pg_catalog.pg_collation')
) AS more
WHERE objoid >= 16384 AND NOT EXISTS (
    SELECT FROM from_extension e WHERE e.classid = more.classoid AND e.objid = more.objoid)
UNION ALL
SELECT extname, format('extension %s %s in %s', extname, extversion, extnamespace::regnamespace)
FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL
SELECT evtname, format('event trigger %s on %s calls %s enabled=%s tags=%s', evtname, evtevent,
    evtfoid::regproc, evtenabled, evttags)
FROM pg_event_trigger
UNION ALL
SELECT '', format('default privileges of %s in %s on %s: %s', defaclrole::regrole,
    defaclnamespace::regnamespace, defaclobjtype, defaclacl)
FROM pg_default_acl
UNION ALL
SELECT pubname, format('publication %s all=%s tables=%s', pubname, puballtables,
    ARRAY(SELECT prrelid::regclass::text FROM pg_publication_rel WHERE prpubid = p.oid ORDER BY 1))
FROM pg_publication p
UNION ALL
SELECT srvname, format('foreign server %s options=%s', srvname, srvoptions)
FROM pg_foreign_server
UNION ALL
SELECT '', format('settings of %s: %s', setrole::regrole, setconfig)
FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
WHERE d.datname = current_database()
"""


def _postgresql_schema(database: Database) -> _Lines:
    with database.looking() as connection, connection.transaction():
        # With an empty path every name in a definition is qualified.
        connection.execute("SET LOCAL search_path = ''")
        return [(name, line) for name, line in _rows(connection, "postgresql", _POSTGRESQL_SCHEMA)]


def _mariadb_tables(database: Database) -> Sequence[str]:
    rows = database.query(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = database() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
    )
    return [name for (name,) in rows]


def _mariadb_schema(database: Database) -> _Lines:
    objects: list[tuple[str, str, str, int]] = []  # excluded by, kind, name, column of the text
    for name, type_ in database.query("SHOW FULL TABLES"):
        kind = {"VIEW": "VIEW", "SEQUENCE": "SEQUENCE"}.get(type_, "TABLE")
        objects.append((name, kind, name, 1))
    for name, _, table, *_ in database.query("SHOW TRIGGERS"):
        objects.append((table, "TRIGGER", name, 2))
    for name, kind in database.query(
        "SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = database()"
    ):
        objects.append((name, kind, name, 2))
    for (name,) in database.query("SELECT event_name FROM information_schema.events WHERE event_schema = database()"):
        objects.append((name, "EVENT", name, 3))
    lines = []
    with database.looking() as connection:
        for belongs_to, kind, name, column in objects:
            shown = _rows(connection, "mariadb", f"SHOW CREATE {kind} {_quoted(name, '`')}")
            text = shown[0][column]
            # The next number of a table depends on what was rolled back, and the database's own
            # name must not make a difference.
            text = re.sub(r" AUTO_INCREMENT=\d+", "", text).replace(f"`{database.name}`.", "")
            if column > 1:  # what runs later does so in the mode in which it was made
                text += f" sql_mode={shown[0][1]}"
            if kind == "EVENT":  # one without a start gets the time when it was made
                text = re.sub(r" STARTS '[^']*'", "", text)
            lines.append((belongs_to, f"{kind.lower()} {name}: {text}"))
    [(charset, collation)] = database.query(
        "SELECT default_character_set_name, default_collation_name"
        " FROM information_schema.schemata WHERE schema_name = database()"
    )
    return [*lines, ("", f"database: {charset} {collation}")]


_TABLES: Final[dict[Kind, Callable[[Database], Sequence[str]]]] = {
    "sqlite": _sqlite_tables,
    "postgresql": _postgresql_tables,
    "mariadb": _mariadb_tables,
}

_SCHEMA: Final[dict[Kind, Callable[[Database], _Lines]]] = {
    "sqlite": _sqlite_schema,
    "postgresql": _postgresql_schema,
    "mariadb": _mariadb_schema,
}
