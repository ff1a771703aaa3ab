"""Plan.sql(): what the real clients make of a printed script."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbmigrate import (
    ConfigurationError,
    Edited,
    FilesystemSource,
    MemorySource,
    Migrator,
    Plan,
    SourceError,
    Step,
    StepStarted,
    Unfinished,
    sql_migration,
)
from dbmigrate.dialects import dialect_for
from dbmigrate.survey import checked
from examples.json_ledger.json_ledger import JsonLedger
from tests import servers
from tests.test_oracle import each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbmigrate import Migration
    from tests.conftest import Database

    Client = Callable[[Database, str], subprocess.CompletedProcess[str]]

LEDGER: Final = "dbmigrate_ledger"
USERS = sql_migration("1", "users", "CREATE TABLE users (id INTEGER PRIMARY KEY)", "DROP TABLE users")
NOTES = sql_migration("2", "notes", "CREATE TABLE notes (id INTEGER PRIMARY KEY)", "DROP TABLE notes")
ROWS = sql_migration("3", "rows", "INSERT INTO users VALUES (1)", "DELETE FROM users")
ALL = (USERS, NOTES, ROWS)

#: What a client could take for its own, in a literal.
_TEXTS: Final = (
    *("a%b", "%s", ":x", "\\:x", ":'x'", "?", "it's", '"', "`", "$1", "$x$", "{}", "&amp", "😀é", "two\r\nlines", ""),
    *("-- no", "/* no", "# no", "a;b", "one;\ntwo;\n", ".help\n.quit\n", "go\n/\n", "\\! echo\n\\q\n\\g", "\\"),
    *("DELIMITER //\n", "x\ndelimiter $$\n//", "\nconnect\n", "\tq\r\n\r\n", "BEGIN", "\\N", "\\'", "'';"),
)
_POSTGRESQL: Final = (
    (
        "4",
        "routines",
        "BEGIN;\n"
        "CREATE FUNCTION dollars(a int) RETURNS text LANGUAGE plpgsql AS $f$\r\n"
        "-- it's a comment; :x\nBEGIN\n\n  RETURN 'a\\b' || ':x'::text; /* ; :'x' */ END $f$;\n"
        "CREATE FUNCTION begin(x int) RETURNS int LANGUAGE sql -- begin\n"
        "BEGIN ATOMIC\n SELECT CASE WHEN x > 0 THEN 1 END; SELECT array_length((ARRAY[1, 2, 3])[1:x], 1);\nEND;\n"
        "CREATE PROCEDURE ends() BEGIN ATOMIC SELECT 1 AS end; SELECT 2; END;\n"
        "CREATE TABLE slices AS SELECT n, (ARRAY[1, 2, 3])[1:n] AS a, E'\\'\\\\;' AS b, '\\' AS c, n::text AS d\n"
        "  FROM generate_series(1, 2) AS s(n) -- the end\n;\n"
        "CREATE RULE twice AS ON DELETE TO slices DO ALSO (SELECT 1; SELECT 2);\n"
        "COMMIT;",
    ),
    ("5", "elsewhere", "CREATE SCHEMA other; SET search_path = other; CREATE TEMP TABLE t (i int); SET ROLE NONE"),
    ("6", "here", "CREATE TABLE here (i int); SELECT * FROM pg_catalog.pg_class; INSERT INTO here VALUES (1)"),
    (
        "7",
        "index",
        "-- dbmigrate: no-transaction\nCREATE INDEX CONCURRENTLY here_i ON here (i);\nUPDATE here SET i = 2;\n"
        "DO $$BEGIN NULL; END$$;\nVACUUM here",
    ),
    ("8", "temporary", "CREATE TEMP TABLE t (i int); INSERT INTO here VALUES (3)"),
)
_MARIADB: Final = (
    (
        "4",
        "routines",
        "# a comment\nCREATE TABLE words (`delimiter` INT, -- it's a column; of words\n  b INT /* b; */);\r\n"
        "INSERT INTO words SELECT 1 AS delimiter , 2;\nDELIMITER //\n"
        "CREATE PROCEDURE plain()\nBEGIN\n\n  SELECT '//', 6 / 2, 'a;';\n  SELECT 2; END//\n"
        "CREATE TRIGGER bare BEFORE INSERT ON words FOR EACH ROW BEGIN SET NEW.b = 1; SET NEW.b = 2; END//\n"
        "DELIMITER ;\n"
        "CREATE DEFINER = 'dbmigrate'@'%' PROCEDURE commented()\r\nBEGIN\r\n  -- it's a comment;\r\n"
        "  SELECT '\\'', \"it's\\\\\" AS delimiter ;\r\n  # more\r\n  SELECT 1;\r\nEND;\n"
        "CREATE FUNCTION one() RETURNS INT RETURN /* one */ 1;\n"
        "CREATE VIEW seen AS SELECT /*!40000 b */ -- it's\n FROM words;\n/*!50003 SET @a = 1 */;\n"
        "BEGIN NOT ATOMIC SET @b = 1; INSERT INTO words VALUES (3, 4); END",
    ),
    ("5", "session", "SET FOREIGN_KEY_CHECKS = 0; CREATE TEMPORARY TABLE t (i INT); SET @a = 5; SET sql_mode = ''"),
    ("6", "null", "CREATE TABLE one (i INT, f INT); INSERT INTO one VALUES (@a, @@foreign_key_checks), (\\N, 1)"),
    ("7", "dml", "INSERT INTO one VALUES (7, 7); UPDATE one SET f = 8"),
)
_SQLITE: Final = (
    (
        "4",
        "triggers",
        "BEGIN;\nCREATE TABLE t (a INTEGER PRIMARY KEY,\r\n  -- it's; a column\n  [go] TEXT /* ; */ DEFAULT ';');\n"
        "CREATE TABLE child (a REFERENCES t ON DELETE CASCADE);\n"
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN\n  UPDATE t SET [go] = 'x;\ngo\n' WHERE a = 1; -- it's;\n"
        "  SELECT CASE WHEN 1 THEN 1 END;\nEND;\nINSERT INTO t VALUES (1, ''); INSERT INTO child VALUES (1);\nCOMMIT;",
    ),
    (
        "5",
        "rebuild",
        "PRAGMA foreign_keys=OFF;\nBEGIN;\nCREATE TABLE u AS SELECT a FROM t;\nDROP TABLE t;\nCREATE TABLE t (a "
        "INTEGER PRIMARY KEY);\nINSERT INTO t SELECT a FROM u;\nDROP TABLE u;\nPRAGMA foreign_key_check;\nCOMMIT;",
    ),
    ("6", "last", "CREATE TEMP TABLE x (a); INSERT INTO child VALUES (1); PRAGMA user_version = 5"),
)
_TABLE: Final = "CREATE TABLE texts (n INTEGER, t TEXT)"
_RICH: Final = {"postgresql": _POSTGRESQL, "mariadb": _MARIADB, "sqlite": _SQLITE}


def _literal(database: Database, text: str) -> str:
    """Return a literal as an author writes it: a carriage return is a carriage return."""
    text = text.replace("\\", "\\\\") if database.kind == "mariadb" else text
    return "'" + text.replace("'", "''") + "'"


def _texts(database: Database, version: str, texts: Sequence[str]) -> Migration:
    """Return a migration with texts in its literals, and in the comments of its down script."""
    rows = ";\n".join(f"INSERT INTO texts VALUES ({n}, {_literal(database, text)})" for n, text in enumerate(texts))
    return sql_migration(version, f"it's :x \\q; {version}", f"{rows};", f"DELETE FROM texts;\n-- {' '.join(texts)}")


def rich(database: Database) -> tuple[Migration, ...]:
    """Return migrations with all that a client could misread."""
    more = (sql_migration(*values) for values in _RICH[database.kind])
    return (sql_migration("0", "texts", _TABLE), _texts(database, "01", _TEXTS), USERS, NOTES, *more)


def migrator(database: Database, migrations: Sequence[Migration] = ALL, **options: Any) -> Migrator:
    """Return a migrator over migrations in memory."""
    return Migrator(database.url, MemorySource(migrations), **options)


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """What runs a script with the database's own client, as the script says, and in an unhelpful environment."""

    def run(database: Database, script: str) -> subprocess.CompletedProcess[str]:
        program = servers.find_client(database.kind)
        if program is None:
            reason = f"there is no client for {database.kind} here to run a script with"
            if request.config.getoption("--require-servers"):
                pytest.fail(reason)
            pytest.skip(reason)
        handle, name = tempfile.mkstemp(".sql", dir=tmp_path)  # clients may run side by side
        os.close(handle)
        file = Path(name)
        file.write_bytes(script.encode())
        server = database.server
        if database.kind == "sqlite" or server is None:
            arguments = ["-bail", database.name]
        elif database.kind == "postgresql":
            place = ["-h", str(server.socket), "-p", str(server.port), "-U", servers.USER]
            arguments = ["-X", "-f", str(file), *place, "-v", "x=put_in", "-v", "n=put_in", database.name]
        else:
            arguments = ["--no-defaults", f"--socket={server.socket}", f"--user={servers.USER}", database.name]
        with file.open("rb") as stdin:
            return subprocess.run(
                [program, *arguments],
                stdin=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LC_ALL": "C",
                    "PGCLIENTENCODING": "LATIN1",
                    "HOME": str(tmp_path),
                },
            )

    return run


def ledger(database: Database) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return what ledger and journal hold, without times and persons."""
    columns = "seq, version, name, action, checksum, fingerprint, down_checksum, chain, tool, down_sql"
    records = database.query(f"SELECT {columns} FROM {LEDGER} ORDER BY seq")
    if database.kind == "sqlite":
        return records, []
    columns = "seq, entry, ordinal, statement_hash, state, error"
    return records, database.query(f"SELECT {columns} FROM {LEDGER}_journal ORDER BY seq, entry")


# -- the same database


@pytest.mark.parametrize("engine", [False, True])
def test_a_client_leaves_what_upgrade_leaves(database: Database, client: Client, engine: bool) -> None:
    """Catalogue, data, ledger and journal are equal, whatever the scripts hold, and so the ledger is accepted."""
    migrations, other = rich(database), database.another()
    expected = migrator(other, migrations).upgrade()
    source = database.engine() if engine else database.url

    ran = client(database, Migrator(source, MemorySource(migrations)).plan().sql())

    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(expected.outcomes) == len(migrations)
    assert database.dump(LEDGER) == other.dump(LEDGER)
    assert ledger(database) == ledger(other)
    assert database.schema() == other.schema()
    assert migrator(database, migrations).status().is_current
    assert not migrator(database, migrations).plan()
    assert not migrator(database, migrations).upgrade()


def _check(database: Database, client: Client, file: Path, folder: Path) -> None:
    """Print a tricky file, and compare what is left with what upgrade() leaves."""
    folder.mkdir()
    shutil.copyfile(file, folder / f"1_{file.name}")
    other = database.another()
    Migrator(other.url, folder).upgrade()

    ran = client(database, Migrator(database.url, folder).plan().sql())

    assert ran.returncode == 0, ran.stderr
    assert database.dump(LEDGER) == other.dump(LEDGER)
    assert ledger(database) == ledger(other)


@each("sqlite")
def test_tricky_files_for_sqlite(sqlite: Database, client: Client, file: Path, tmp_path: Path) -> None:
    """Each file of the oracle tests is printed so that it does what it does through us."""
    _check(sqlite, client, file, tmp_path / "migrations")


@each("postgresql")
def test_tricky_files_for_postgresql(postgresql: Database, client: Client, file: Path, tmp_path: Path) -> None:
    """Each file of the oracle tests is printed so that it does what it does through us."""
    _check(postgresql, client, file, tmp_path / "migrations")


@each("mariadb")
def test_tricky_files_for_mariadb(mariadb: Database, client: Client, file: Path, tmp_path: Path) -> None:
    """Each file of the oracle tests is printed so that it does what it does through us."""
    _check(mariadb, client, file, tmp_path / "migrations")


def test_times_and_persons_are_the_databases(database: Database, client: Client) -> None:
    """Times are in UTC and in order, the user is the one who ran the script, and the reason tells printed rows."""
    client(database, migrator(database).plan().sql())

    with database.engine().connect() as connection:
        records = migrator(database).ledger.read(connection)
    for record in records:
        assert record.reason == "printed"
        assert record.session is None
        assert record.started_at is not None
        assert (record.finished_at is None) == record.action.startswith("begin_")
        assert record.finished_at is None or record.finished_at >= record.started_at
        assert (record.applied_by or "dbmigrate@").startswith("dbmigrate@")
    assert [r.started_at for r in records] == sorted(r.started_at for r in records if r.started_at)


def test_every_further_plan_follows(database: Database, client: Client) -> None:
    """Upgrades and printed scripts may take turns: each follows the ledger of the other."""
    migrator(database).upgrade(to="1")
    assert client(database, migrator(database).plan(to="2").sql()).returncode == 0
    migrator(database).downgrade()
    assert client(database, migrator(database).plan().sql()).returncode == 0

    assert migrator(database).status().is_current
    assert database.query("SELECT id FROM users") == [(1,)]


def test_steps_back_can_be_printed_too(database: Database, client: Client) -> None:
    """A plan of down steps takes back what it names."""
    migrator(database).upgrade()
    plan = migrator(database).plan()
    steps = checked([Step(ROWS, "down"), Step(NOTES, "down")], dialect_for(database.url), {})

    assert client(database, replace(plan, steps=steps).sql()).returncode == 0
    assert [e.version for e in migrator(database).status().applied] == ["1"]
    assert "notes" not in database.tables()
    assert database.query("SELECT id FROM users") == []


_CHARACTERS: Final = st.one_of(
    st.sampled_from(_TEXTS), st.text(st.characters(exclude_characters="\0\r", codec="utf-8"))
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(_CHARACTERS, min_size=1, max_size=12))
def test_any_text_arrives(database: Database, client: Client, texts: list[str]) -> None:
    """Literals of a script and the way back in the ledger are, to the character, what was written."""
    database.execute("DELETE FROM texts" if "texts" in database.tables() else _TABLE)
    past = [sql_migration(e.version, e.name, "SELECT 1") for e in migrator(database, ()).status().entries]
    migration = _texts(database, str(len(past) + 1), texts)
    plan = migrator(database, [*past, migration], allow={Edited}).plan()

    ran = client(database, plan.sql())

    assert ran.returncode == 0, ran.stderr
    assert database.query("SELECT t FROM texts ORDER BY n") == [(text,) for text in texts]
    down = migration.down
    assert down is not None
    last = database.query(f"SELECT down_sql FROM {LEDGER} ORDER BY seq DESC LIMIT 1")
    assert last == [(down.read(),)]


# -- stopping


def test_a_second_run_changes_nothing(database: Database, client: Client) -> None:
    """The ledger has moved by the first run, so the client fails at the first record."""
    script = migrator(database).plan().sql()
    assert client(database, script).returncode == 0
    before = database.dump()

    ran = client(database, script)

    assert ran.returncode != 0
    assert "seq" in ran.stderr
    assert database.dump() == before


def test_a_stale_script_changes_nothing(database: Database, client: Client) -> None:
    """A record that is another one than was expected, at the same seq or behind, stops the client."""
    migrator(database).upgrade(to="1")
    script = migrator(database).plan().sql()
    other = sql_migration("2", "other", "CREATE TABLE other (id INTEGER)")
    migrator(database, (USERS, other)).upgrade()
    before = database.dump()
    assert client(database, script).returncode != 0
    assert database.dump() == before

    elsewhere = database.another()
    same = sql_migration("1", "users", "CREATE TABLE users (id INTEGER)")  # another chain at the same seq
    migrator(elsewhere, (same,)).upgrade()
    before = elsewhere.dump()
    assert client(elsewhere, script.replace(database.name, elsewhere.name)).returncode != 0
    assert elsewhere.dump() == before


def test_nothing_runs_beside_another_migrator(database: Database, client: Client) -> None:
    """While a migrator is at work the client stops at once, before its first step."""
    script = migrator(database, acquire_timeout=0.1).plan().sql()
    codes = list[int]()

    def interfere(event: object) -> None:
        if isinstance(event, StepStarted) and not codes:
            codes.append(client(database, script).returncode)

    migrator(database, on_event=interfere).upgrade()

    assert codes != [0]
    assert len(codes) == 1
    assert migrator(database).status().is_current


def test_of_clients_at_once_one_gets_through(database: Database, client: Client) -> None:
    """Whoever writes the first record runs the steps; the others stop there, or where the ledger is being made."""
    script = migrator(database, rich(database)).plan().sql()

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: client(database, script).returncode, range(4)))

    assert codes.count(0) == 1
    assert migrator(database, rich(database)).status().is_current


def test_a_failing_step_is_rolled_back(database: Database, client: Client) -> None:
    """Of a step that is a transaction nothing is left when a statement fails; the steps before it stay."""
    broken = sql_migration("4", "broken", "INSERT INTO users VALUES (4); INSERT INTO nowhere VALUES (1)")
    migrations = (*ALL, broken, sql_migration("5", "more", "INSERT INTO users VALUES (5)"))

    assert client(database, migrator(database, migrations).plan().sql()).returncode != 0

    status = migrator(database, migrations).status()
    assert [(e.version, e.state) for e in status.entries][2:] == [("3", "applied"), ("4", "pending"), ("5", "pending")]
    assert database.query("SELECT id FROM users") == [(1,)]


def test_all_in_one_transaction(sqlite: Database, postgresql: Database, client: Client) -> None:
    """transaction="all" prints one transaction, of which nothing is left when a step fails."""
    broken = sql_migration("4", "broken", "INSERT INTO nowhere VALUES (1)")
    for database in (sqlite, postgresql):
        script = migrator(database, (*ALL, broken), transaction="all").plan().sql()
        assert script.count("\nBEGIN") == 1
        assert client(database, script).returncode != 0
        assert set(database.tables()) <= {LEDGER, f"{LEDGER}_journal"}
        assert client(database, migrator(database, transaction="all").plan().sql()).returncode == 0
        assert migrator(database).status().is_current


def test_a_failing_statement_outside_a_transaction_is_named(
    postgresql: Database, mariadb: Database, client: Client
) -> None:
    """The journal has it as started: status() names it, and resolve() and resume() go on behind it."""
    good = "INSERT INTO users VALUES (4);\nCREATE {}INDEX extra ON {} (id);\nINSERT INTO users VALUES (5)"
    for database, word in ((postgresql, "CONCURRENTLY "), (mariadb, "")):
        text = good if database is mariadb else f"-- dbmigrate: no-transaction\n{good}"
        first = text.format("", "nowhere").replace("INDEX ", f"INDEX {word}")
        last = text.format("", "users").replace("INDEX ", f"INDEX {word}")
        broken, whole = (*ALL, sql_migration("4", "index", first)), (*ALL, sql_migration("4", "index", last))

        assert client(database, migrator(database, broken).plan().sql()).returncode != 0

        (finding,) = migrator(database, broken).status().findings
        assert isinstance(finding, Unfinished)
        assert (finding.version, finding.statement, finding.in_doubt) == ("4", 2, True)
        assert "extra" in (finding.where or "")
        assert database.query("SELECT id FROM users ORDER BY id") == [(1,), (4,)]
        migrator(database, whole).resolve("4", applied=False, reason="it failed", statement=2)
        migrator(database, whole).resume()
        assert migrator(database, whole).status().is_current
        assert database.query("SELECT id FROM users ORDER BY id") == [(1,), (4,), (5,)]


def test_violated_foreign_keys_stop_the_shell(sqlite: Database, client: Client) -> None:
    """foreign-keys=off is checked before the commit, as upgrade() does, and the setting is as it was behind it."""
    tables = sql_migration("1", "t", "CREATE TABLE p (a INTEGER PRIMARY KEY); CREATE TABLE c (a REFERENCES p)")
    orphan = "-- dbmigrate: foreign-keys=off\nINSERT INTO c VALUES (7)"
    migrator(sqlite, [tables]).upgrade()

    ran = client(sqlite, migrator(sqlite, [tables, sql_migration("2", "orphan", orphan)]).plan().sql())

    assert "overflow" in ran.stderr
    assert sqlite.query("SELECT * FROM c") == []
    assert [e.version for e in migrator(sqlite, [tables]).status().applied] == ["1"]


# -- the text


def test_the_same_plan_prints_the_same_text(database: Database) -> None:
    """Equal plans print equal scripts, a pickled one too; the head says for which ledger, and steps are named."""
    migrator(database).upgrade(to="1")
    plan = migrator(database).plan()
    script = plan.sql()

    assert plan == migrator(database).plan()
    assert script == migrator(database).plan().sql() == pickle.loads(pickle.dumps(plan)).sql()  # noqa: S301
    assert f"ends with record {plan.head} ({plan.chain})" in script
    assert "CREATE TABLE IF NOT EXISTS" not in script
    assert "\n-- 2_notes up\n" in script
    assert "_print" not in repr(plan)
    assert database.name not in script or database.kind == "mariadb"


def test_an_empty_plan_prints_a_comment(database: Database, client: Client) -> None:
    """There is nothing to run, and a client runs nothing."""
    migrator(database).upgrade()
    script = migrator(database).plan().sql()

    assert [line for line in script.splitlines() if not line.startswith("--")] == []
    assert client(database, script).returncode == 0


def test_printing_writes_nothing(database: Database) -> None:
    """No ledger is made, and on SQLite no file."""
    migrator(database).plan().sql()

    assert database.tables() == []


def test_limits_are_printed(postgresql: Database, mariadb: Database) -> None:
    """lock_timeout and statement_timeout are set as a session of upgrade() sets them."""
    options: dict[str, Any] = {"lock_timeout": 5, "statement_timeout": 7}

    assert "\nSET lock_timeout = 5000;\nSET statement_timeout = 7000;\n" in migrator(postgresql, **options).plan().sql()
    assert "\nSET SESSION innodb_lock_wait_timeout = 5;\n" in migrator(mariadb, **options).plan().sql()


def test_the_lock_timeout_is_lifted_where_nobody_waits(postgresql: Database, client: Client) -> None:
    """What is done CONCURRENTLY may wait longer, and what follows may not."""
    postgresql.execute("CREATE TABLE here (i int)")
    sql = "-- no-transaction\nCREATE INDEX CONCURRENTLY here_i ON here (i);\nVACUUM here;\n"
    source = MemorySource([sql_migration("1", "index", sql)])

    printed = Migrator(postgresql.url, source).plan().sql()
    lines = printed.splitlines()
    places = [lines.index(line) for line in lines if line.startswith("UPDATE pg_catalog.pg_settings")]

    assert "SET lock_timeout = 2000;" in lines
    assert len(places) == 2
    assert lines[places[0] + 1 : places[1]] == ["CREATE INDEX CONCURRENTLY here_i ON here (i);"]
    assert "pg_settings" not in Migrator(postgresql.url, source, lock_timeout=None).plan().sql()
    assert client(postgresql, printed).returncode == 0
    Migrator(postgresql.url, source).verify()


def test_names_are_looked_up_where_the_plan_was_made(postgresql: Database, client: Client) -> None:
    """The search_path of the plan's connection is that of the script; the ledger is named with its schema."""
    postgresql.execute('CREATE SCHEMA "a:x"')
    engine = postgresql.engine(connect_args={"options": '-csearch_path="a:x"'})
    migrations = (sql_migration("0", "elsewhere", "SET search_path = public"), *ALL)

    assert client(postgresql, Migrator(engine, MemorySource(migrations)).plan().sql()).returncode == 0
    assert {table.rpartition(".")[0] for table in postgresql.tables()} == {"a:x"}
    assert Migrator(engine, MemorySource(migrations)).status().is_current


def test_foreign_keys_are_enforced_as_over_the_plans_connection(sqlite: Database, client: Client) -> None:
    """The shell enforces them if the connection of the plan did."""
    from sqlalchemy import event

    sqlite.execute("CREATE TABLE p (a INTEGER PRIMARY KEY)", "CREATE TABLE c (a REFERENCES p)")
    engine = sqlite.engine()
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    steps = [
        sql_migration("1", "off", "-- dbmigrate: foreign-keys=off\nINSERT INTO c VALUES (2); INSERT INTO p VALUES (2)"),
        sql_migration("2", "orphan", "INSERT INTO c VALUES (1)"),
    ]

    assert "FOREIGN KEY" in client(sqlite, Migrator(engine, MemorySource(steps)).plan().sql()).stderr
    assert [e.version for e in migrator(sqlite, steps).status().applied] == ["1"]
    assert client(sqlite, migrator(sqlite, steps).plan().sql()).returncode == 0


def test_a_callers_connection_plans_for_the_client(database: Database, client: Client) -> None:
    """The plan of a Connection prints transactions, not the savepoints that apply() would use there."""
    migrator(database).upgrade(to="2")
    with database.engine().begin() as connection:
        plan = Migrator(connection, MemorySource(ALL)).plan()
    script = plan.sql()

    assert "SAVEPOINT" not in script
    assert client(database, script).returncode == 0
    assert migrator(database).status().is_current


# -- what cannot be printed


def test_python_steps_are_named(database: Database, tmp_path: Path) -> None:
    """All steps that no client can run are named in one error."""
    for name in ("2_fill", "4_more"):
        (tmp_path / f"{name}.py").write_text("def upgrade(connection):\n    pass\n")
    (tmp_path / "1_a.sql").write_text("CREATE TABLE a (x INTEGER)")
    (tmp_path / "3_c.sql").write_text("DROP TABLE a")
    plan = Migrator(database.url, FilesystemSource(tmp_path)).plan()

    with pytest.raises(ConfigurationError) as caught:
        plan.sql()

    assert "2_fill up is Python" in str(caught.value)
    assert "4_more up is Python" in str(caught.value)
    assert "1_a" not in str(caught.value)


def test_another_ledger_is_not_printed(database: Database, tmp_path: Path) -> None:
    """Only the rows of a TableLedger can be written by a client."""
    plan = migrator(database, ledger=JsonLedger(tmp_path / "ledger.json")).plan()

    with pytest.raises(ConfigurationError, match="only for a TableLedger"):
        plan.sql()


def test_what_the_shell_would_misread_is_named(sqlite: Database) -> None:
    """A line of nothing but / or go, and a changed session in front of another step."""
    steps = [
        sql_migration("1", "a", "CREATE TABLE a (x);\nINSERT INTO a SELECT 4\n/\n2"),
        sql_migration("2", "b", "CREATE TEMP TABLE t (x)"),
        sql_migration("3", "c", "SELECT 1 AS\n  go -- it\n"),
    ]

    with pytest.raises(ConfigurationError) as caught:
        migrator(sqlite, steps).plan().sql()

    assert "1_a up, statement 2: the sqlite3 shell" in str(caught.value)
    assert "2_b up changes its session" in str(caught.value)
    assert "3_c up, statement 1: the sqlite3 shell" in str(caught.value)


def test_a_script_that_changed_is_not_printed(sqlite: Database, tmp_path: Path) -> None:
    """What is printed is what was planned."""
    (tmp_path / "1_a.sql").write_text("CREATE TABLE a (x)")
    plan = Migrator(sqlite.url, FilesystemSource(tmp_path)).plan()
    (tmp_path / "1_a.sql").write_text("CREATE TABLE b (x)")

    with pytest.raises(SourceError, match="changed"):
        plan.sql()


def test_a_plan_of_ones_own_knows_no_database() -> None:
    """A Plan that no Migrator made cannot be printed."""
    with pytest.raises(ValueError, match=r"Migrator.plan\(\)"):
        Plan((), 0).sql()
