"""The command line, through real processes: in a pipe, on a terminal, with --json, interrupted."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import create_engine, text

from dbmigrate import FilesystemSource, Migrator
from dbmigrate.cli import main
from dbmigrate.cli.parser import make_parser
from dbmigrate.cli.words import in_commands
from tests.checkers import ROOT
from tests.terminal import EXECUTED, Program

if TYPE_CHECKING:
    from tests.conftest import Database

_URL: Final = "sqlite:///app.db"
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
#: Takes SQLite about a second.
_SLOW: Final = (
    "CREATE TABLE slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
    "SELECT max(i) AS top FROM n;\n"
)
#: Says that it runs, and then does so until it is stopped.
_ENDLESS: Final = """
import time
from pathlib import Path


def upgrade(connection):
    connection.exec_driver_sql("CREATE TABLE half (x TEXT)")
    Path("running").touch()
    time.sleep(60)
"""


def put(folder: Path, **scripts: str) -> None:
    """Write migrations: `a_up` is the up script of a pair, `a_down` its way back, any other name a single file."""
    (folder / "migrations").mkdir(exist_ok=True)
    for name, script in scripts.items():
        stem, _, way = name.rpartition("_")
        file = f"{stem}.{way}.sql" if way in ("up", "down") else f"{name}.sql"
        (folder / "migrations" / file.removeprefix("v")).write_text(script)


@pytest.fixture
def shop(tmp_path: Path) -> Program:
    """A project with two migrations and a database of its own, as DATABASE_URL has it."""
    put(
        tmp_path,
        v1_users_up="CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);",
        v1_users_down="DROP TABLE users;",
        v2_email_up="ALTER TABLE users ADD COLUMN email TEXT;\nINSERT INTO users (name) VALUES ('Ada');",
        v2_email_down="DELETE FROM users;\nALTER TABLE users DROP COLUMN email;",
    )
    return Program(tmp_path, variables={"DATABASE_URL": _URL})


# -- every command


#: Words, whether everything is applied before, and the exit code.
COMMANDS: Final[list[tuple[str, bool, int]]] = [
    ("new next_step", False, 0),
    ("status", True, 0),
    ("status --check", True, 0),
    ("status --check", False, 3),
    ("plan", False, 0),
    ("plan --check", False, 3),
    ("plan --check", True, 0),
    ("plan --sql", False, 0),
    ("plan --to 1", False, 0),
    ("verify", True, 0),
    ("verify", False, 3),
    ("wait --timeout 0.1", True, 0),
    ("wait --timeout 0.1", False, 3),
    ("history", True, 0),
    ("history", False, 0),
    ("upgrade", False, 0),
    ("upgrade --to 1", False, 0),
    ("upgrade --to 3", False, 1),
    ("downgrade", True, 0),
    ("downgrade", False, 1),
    ("downgrade --steps 2", True, 0),
    ("downgrade --to base", True, 0),
    ("goto 1", True, 0),
    ("redo --steps 2", True, 0),
    ("resume", True, 1),
    ("baseline 1 --reason earlier", False, 0),
    ("baseline 1 --reason earlier", True, 1),
    ("accept 1 --reason typo", True, 1),
    ("resolve 1 --applied --reason looked", True, 1),
    ("validate", False, 0),
    ("validate --replay", False, 0),
    ("drift", True, 0),
    ("drift", False, 2),
    ("schema print", True, 0),
    ("schema print --sql", True, 0),
    ("database create", False, 0),
    ("database drop --yes", True, 0),
    ("database setup", False, 0),
    ("database reset --yes", True, 0),
    ("config", False, 0),
    ("completions bash", False, 2),  # of `python -m dbmigrate` there are none
]


def test_every_command_is_tried() -> None:
    """The table above has every command, and every action of `database`."""
    parser = make_parser("dbmigrate", configured=True)
    words = [f"{line} -".split() for line, *_ in COMMANDS]

    assert {command for command, *_ in words} == set(parser.below)
    assert {action for command, action, *_ in words if command == "database"} == set(parser.below["database"].below)


@pytest.mark.parametrize(("line", "is_applied", "code"), COMMANDS)
def test_a_command_in_a_pipe(line: str, code: int, shop: Program, *, is_applied: bool) -> None:
    """Lines without control characters, errors on stderr; with --json one object on stdout and nothing besides."""
    if is_applied:
        Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations").upgrade()
    again = replace(shop, folder=Path(shutil.copytree(shop.folder, shop.folder / "again")))

    done = shop(*line.split())
    found = again.json(*line.split(), code=code)

    has_failed = code != 0 and "--check" not in line
    assert done.returncode == code, done.stdout + done.stderr
    assert _CONTROL.findall(done.stdout + done.stderr) == []
    assert bool(done.stderr) == has_failed
    assert done.stdout or has_failed
    assert "Traceback" not in done.stderr
    assert found["command"] == line.split(maxsplit=1)[0]
    assert (found["error"] is not None) == has_failed
    if has_failed:
        assert found["error"]["message"] in done.stderr
    else:
        assert (found["result"] or {}).get("format", 1) == 1


def test_what_commands_do(shop: Program) -> None:
    """From an empty folder's database to current and back, as the API does."""
    shop = replace(shop, command=EXECUTED)
    source = FilesystemSource(shop.folder / "migrations")
    api = Migrator(f"sqlite:///{shop.folder}/app.db", source)

    assert [s["migration"]["version"] for s in shop.json("plan")["result"]["steps"]] == ["1", "2"]
    assert shop("upgrade", "--to", "1").stdout.splitlines()[0].startswith("applied  1_users  ")
    assert [e.state for e in api.status().entries] == ["applied", "pending"]
    report = shop.json("upgrade")["result"]
    assert [o["step"]["migration"]["name"] for o in report["outcomes"]] == ["email"]
    assert shop("downgrade").stdout.splitlines()[0].startswith("reverted  2_email  ")
    assert shop("goto", "2").returncode == 0
    lines = shop("redo", "--steps", "2").stdout.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["reverted", "2_email"],
        ["reverted", "1_users"],
        ["applied", "1_users"],
        ["applied", "2_email"],
    ]
    assert re.fullmatch(r"2 applied, 2 reverted in .*", lines[4])
    assert shop("verify").stdout == "the database is current\n"
    happened = shop.json("history")["result"]["records"]
    assert [record["action"] for record in happened] == [record.action for record in api.history()]
    assert [(r["version"], r["action"]) for r in happened][:4] == [("1", "up"), ("2", "up"), ("2", "down"), ("2", "up")]
    assert re.search(
        r"(?m)^1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  up +1_users +\d+ ms +\S+@\S+$", shop("history").stdout
    )


def test_a_printed_script_is_the_plan(shop: Program) -> None:
    """It is on stdout as the API has it, and the client runs it."""
    script = shop("plan", "--sql").stdout

    assert script == Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations").plan().sql()
    assert shop.json("plan", "--sql")["result"]["sql"] == script


def test_records_of_a_person(shop: Program) -> None:
    """baseline, accept and the reason for each."""
    assert shop("baseline", "1", "--reason", "it was there").returncode == 0
    put(shop.folder, v1_users_up="CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR);")
    done = shop("upgrade")
    assert (done.returncode, "Edited: 1_users: " in done.stderr) == (1, True)
    assert 'next: python -m dbmigrate accept 1 --reason "..."' in done.stderr
    assert shop("accept", "1", "--reason", "as it is").returncode == 0

    records = shop.json("history")["result"]["records"]
    assert [(r["action"], r["reason"]) for r in records] == [("baseline", "it was there"), ("accept", "as it is")]


@pytest.mark.kinds("mariadb")
@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("--applied",), "applied"),
        (("--no-applied",), "pending"),
        (("--no-applied", "--statement", "1"), "unfinished"),
        (("--applied", "--statement", "1"), "unfinished"),
    ],
)
def test_a_person_resolves(words: tuple[str, ...], state: str, database: Database, tmp_path: Path) -> None:
    """The step, or the statement that is in doubt; then `resume` goes on."""
    put(tmp_path, v1_a="CREATE OR REPLACE TABLE a AS SELECT sleep(2) AS x;\nCREATE TABLE b (x INT);")
    shop = Program(tmp_path, variables={"DATABASE_URL": database.url.render_as_string(hide_password=False)})
    process = shop.start("upgrade")
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        running = text(
            "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%sleep(2) AS x' AND db = DATABASE()"
        )
        _until(lambda: bool(connection.execute(running).scalar()))
        process.signal(signal.SIGKILL)
        process.finish()
        _until(lambda: not connection.execute(running).scalar())
    engine.dispose()

    looked = shop("status")
    assert "python -m dbmigrate resolve 1 --statement 1 --applied" in looked.stdout
    assert "next: " not in looked.stdout  # it is said already
    assert not re.search(r"\w\(\)|applied=|resolve\(", looked.stdout)
    found = shop.json("resolve", "1", *words, "--reason", "looked")["result"]
    assert [entry["state"] for entry in found["entries"]] == [state]
    if state == "unfinished":
        assert shop.json("resume")["result"]["outcomes"][0]["step"]["migration"]["version"] == "1"
        assert shop("verify").returncode == 0


@pytest.mark.kinds("mariadb")
def test_an_unfinished_step_is_resumed(database: Database, tmp_path: Path) -> None:
    """What failed half-way is said with the commands that go on, and they do."""
    put(tmp_path, v1_a="CREATE TABLE a (x INT);\nCREATE TABLE b (x INT), oops;")
    shop = Program(tmp_path, variables={"DATABASE_URL": database.url.render_as_string(hide_password=False)})

    first = shop("upgrade")
    again = shop("upgrade")
    put(tmp_path, v1_a="CREATE TABLE a (x INT);\nCREATE TABLE b (x INT);")
    resumed = shop("resume")

    assert (first.returncode, again.returncode) == (1, 1)
    assert "migrations/1_a.sql:2:1" in first.stderr
    assert first.stderr.count("python -m dbmigrate status") == 1
    assert again.stderr.count("python -m dbmigrate resume") == 1
    assert resumed.returncode == 0, resumed.stderr
    assert shop("verify").returncode == 0


# -- exit codes, errors


def test_another_migrator_is_code_4(shop: Program) -> None:
    """While another process holds the lock."""
    engine = create_engine(f"sqlite:///{shop.folder}/app.db")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        found = shop.json("upgrade", "--acquire-timeout", "0.2", code=4)
    engine.dispose()

    assert found["error"]["type"] == "MigrationInProgress"
    assert found["error"]["notes"] == ["next: python -m dbmigrate wait"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required: COMMAND"),
        (("staus",), "there is no command 'staus'; did you mean status?"),
        (("database", "dorp"), "there is no command 'dorp'; did you mean drop?"),
        (("upgrade", "--steps", "2"), "unrecognized arguments: --steps 2"),
        (("upgrade", "--acq", "2"), "unrecognized arguments: --acq 2"),
        (("downgrade", "--to", "1", "--steps", "2"), "not allowed with"),
        (("resolve", "1", "--reason", "x"), "--applied"),
        (("upgrade", "--allow", "Everything"), "invalid choice: 'Everything'"),
        (("resolve", "1", "--applied", "--no-applied", "--reason", "x"), "not allowed with argument"),
        (("upgrade", "--source="), "--source is empty"),
        (("upgrade", "--lock-timeout", "nan"), "--lock-timeout is a number of seconds, not nan"),
        (("completions", "bash", "more"), "unrecognized arguments: more"),
        (("redo", "--steps", "-1"), "steps is a number of at least 1"),
        (("upgrade", "--database", "oracle://x"), "--database: dbmigrate does not know how to lock and to cut"),
        (("upgrade", "--database", "nonsense"), "cannot be read"),
        (("baseline", "1", "--reason", " "), "reason is a text that says why"),
    ],
)
def test_wrong_usage_is_code_2(words: tuple[str, ...], said: str, shop: Program) -> None:
    """It is said in words, and in the object as well."""
    done = shop(*words)
    found = json.loads(shop(*words, "--json").stdout)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (found["exit_code"], said in found["error"]["message"]) == (2, True)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("downgrade", "--dry-run"), "downgrade"),
        (("downgrade", "--steps", "x"), "downgrade"),
        (("database", "drop", "--dry-run"), "database drop"),
        (("database",), "database"),
        (("staus",), ""),
    ],
)
def test_the_usage_is_that_of_the_command(words: tuple[str, ...], named: str, shop: Program) -> None:
    """And so is the help that is pointed to."""
    prog = f"python -m dbmigrate {named}".rstrip()

    done = shop(*words)

    assert f"\nusage: {prog} [-h]" in done.stderr
    assert done.stderr.endswith(f"\nTry '{prog} --help'\n")
    assert json.loads(shop(*words, "--json").stdout)["error"]["format"] == 1


def test_what_stands_behind_two_dashes_is_no_option(shop: Program) -> None:
    """Neither where it is understood nor where it is not."""
    done = shop("goto", "--", "--json")
    wrong = shop("upgrade", "--", "--json")

    assert (done.returncode, done.stdout, done.stderr.startswith("error: ")) == (1, "", True)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.startswith("error: ")) == (2, "", True)


@pytest.mark.parametrize(
    ("command", "call", "ours"),
    [
        ("status", "status", {"check"}),
        ("plan", "plan", {"check", "sql"}),
        ("verify", "verify", set()),
        ("wait", "wait_until_current", set()),
        ("history", "history", set()),
        ("upgrade", "upgrade", {"locked"}),
        ("downgrade", "downgrade", set()),
        ("goto", "goto", set()),
        ("redo", "redo", set()),
        ("resume", "resume", set()),
        ("baseline", "baseline", set()),
        ("accept", "accept", set()),
        ("resolve", "resolve", set()),
        ("validate", "validate", {"replay", "models", "exclude", "shadow_url", "prepare"}),
    ],
)
def test_options_are_those_of_the_call(command: str, call: str, ours: set[str]) -> None:
    """Each parameter is an option or a place of that name, and there are no others but for a few of our own."""
    parameters = set(inspect.signature(getattr(Migrator, call)).parameters) - {"self"}
    run = {name for name, kind in inspect.signature(Migrator).parameters.items() if kind.kind is kind.KEYWORD_ONLY}

    found = {action.dest for action in make_parser("x", configured=False).below[command].actions()}

    assert found - {"help", "json"} - run == parameters | ours


def test_a_target_that_is_not_there_suggests_near_ones(shop: Program) -> None:
    """The beginning of a version is near it, and so is its name."""
    put(shop.folder, v20261123101500_orders="CREATE TABLE orders (id INTEGER);")

    for near in ("20261123", "orders", "20261123101501"):
        done = shop("goto", near)
        assert (done.returncode, "did you mean the version of 20261123101500_orders" in done.stderr) == (1, True)


def test_a_failing_statement_is_shown(shop: Program) -> None:
    """With its line, a caret, the state and what to do next."""
    put(shop.folder, v3_bad="SELECT 1;\n  UPDATE users SET emial = 1;")

    done = shop("upgrade")

    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["1_users", "2_email"]
    assert done.stderr.splitlines()[:3] == [
        "error: migrations/3_bad.sql:2:3: 3_bad up: statement 2 failed: no such column: emial",
        "     2 |   UPDATE users SET emial = 1;",
        "       |   ^",
    ]
    assert "nothing of it is left" in done.stderr
    error = shop.json("upgrade", code=1)["error"]
    assert (error["type"], error["line"], error["column"], error["statement"]) == ("MigrationFailed", 2, 3, 2)
    assert (error["rolled_back"], error["report"]["type"]) == (True, "Report")


def test_nobody_reads_it(shop: Program) -> None:
    """A closed pipe ends no migration, and makes no noise."""
    command = f"{sys.executable} -m dbmigrate upgrade | true; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=shop.folder,
        env={**os.environ, **shop.variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("0\n", "")
    assert shop("verify").returncode == 0


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        (">/dev/full", 1, "error: what is said here is lost: [Errno 28] No space left on device\n"),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("2>/dev/full", 0, None),
    ],
)
def test_nothing_can_be_written(shop: Program, streams: str, code: int, said: str | None) -> None:
    """A full disk or a closed stream ends no migration either; what should have been said and was not is a failure."""
    command = f"{sys.executable} -m dbmigrate upgrade {streams}"

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=shop.folder,
        env={**os.environ, **shop.variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert said is None or (done.stdout + done.stderr) == said
    assert shop("verify").returncode == 0


@pytest.mark.parametrize("streams", ["2>others", "2>&-"])
def test_the_object_stays_alone(shop: Program, streams: str) -> None:
    """Whatever a migration prints, and what it starts, goes to stderr."""
    (shop.folder / "migrations" / "3_loud.py").write_text(
        "import os, subprocess\n"
        "def upgrade(connection):\n"
        "    print('printed')\n"
        "    os.write(1, b'written\\n')\n"
        "    subprocess.run(['echo', 'echoed'])\n"
    )

    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m dbmigrate upgrade --json {streams}"],
        cwd=shop.folder,
        env={**os.environ, **shop.variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(json.loads(done.stdout)["result"]["outcomes"]) == 3
    others = shop.folder / "others"
    assert not others.exists() or others.read_text() == "printed\nwritten\nechoed\n"


@pytest.mark.parametrize("words", ["--help", "--version", "upgrade --help", "database drop --help"])
def test_help_on_a_full_disk(shop: Program, words: str) -> None:
    """It fails as anything else does there, and in a pipe that nobody reads it does not."""
    program = f"{sys.executable} -m dbmigrate {words}"
    done = subprocess.run(
        ["bash", "-c", f"{program} >/dev/full; echo $?; {program} | true; echo ${{PIPESTATUS[0]}}"],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "1\n0\n"
    assert done.stderr == "error: what is said here is lost: [Errno 28] No space left on device\n"


class _Bare:
    """All that a stream must have."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """Keep it."""
        self.text += text

    def flush(self) -> None:
        """Do nothing."""


def test_streams_of_others(shop: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application may have closed stdout, or put something there that knows nothing of terminals."""
    migrator = Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations")
    bare, closed = _Bare(), io.StringIO()
    closed.close()

    monkeypatch.setattr(sys, "stdout", bare)
    assert main(["status"], migrator=migrator) == 0
    assert bare.text.endswith("0 applied, 2 pending\n")
    bare.text = ""
    assert main(["status", "--json"], migrator=migrator) == 0
    assert json.loads(bare.text)["exit_code"] == 0
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, closed)
    assert main(["status", "--json"], migrator=migrator) == 0
    assert main(["status"], migrator=migrator) == 0
    assert main(["goto", "9"], migrator=migrator) == 1


def test_any_encoding_will_do(shop: Program) -> None:
    """What a stream cannot write is written as an escape."""
    put(shop.folder, v3_größe="CREATE TABLE g (x TEXT);")

    done = replace(shop, command=EXECUTED)("upgrade", PYTHONIOENCODING="ascii")

    assert done.returncode == 0, done.stderr
    assert "applied  3_gr\\xf6\\xdfe" in done.stdout


_CALLS: Final = [
    ("Run upgrade() first", "Run x upgrade first"),
    ("broke: status() tells what is applied", "broke: x status tells what is applied"),
    ("it is. status() lists the versions there are.", "it is. x status lists the versions there are."),
    ("No statement is in doubt: call resume() to go on", "No statement is in doubt: run x resume to go on"),
    ("is not known. Call resume(): it compares", "is not known. Run x resume: it compares"),
    ("look at status(), and go on with goto(): the same", "look at x status, and go on with x goto: the same"),
    ("Call apply() with this plan, or print", "Run x upgrade, or print"),
    (
        'then call resolve("1", applied=..., reason=...)',
        'then run x resolve 1 --applied (or --no-applied) --reason "..."',
    ),
    (
        'say: resolve("1", statement=2, applied=True, reason=...) if so, resolve("1", statement=2, applied=False, '
        "reason=...) if not",
        'say: x resolve 1 --statement 2 --applied --reason "..." if so, x resolve 1 --statement 2 --no-applied '
        '--reason "..." if not',
    ),
    ("Correct the cause and call again", "Correct the cause and run the command again"),
    ("call again when it has ended", "run the command again when it has ended"),
    (
        "not certain what was done: exists() tells; call again",
        "not certain what was done: to run the command again does no harm",
    ),
    (
        "this ledger keeps no journal: call it without statement=. Nothing",
        "this ledger keeps no journal: run it without --statement. Nothing",
    ),
    ("choose another name with ledger=; nothing was run", "choose another name with --ledger; nothing was run"),
    # not ours
    ("the function status() does not exist", "the function status() does not exist"),
    ("     2 | SELECT 1; status();", "     2 | SELECT 1; status();"),
    ("recall again", "recall again"),
    ("whose check() permits it", "whose check() permits it"),
]


@pytest.mark.parametrize(("said", "ours"), _CALLS)
def test_messages_name_commands(said: str, ours: str) -> None:
    """What the library says of its calls, a command says of commands."""
    assert in_commands(said, "x") == ours


def test_a_program_without_an_option_names_none() -> None:
    """The ledger is an argument of the application's own."""
    assert in_commands("another name with ledger=; without statement=.", "x", configured=False) == (
        "another name with ledger=; without --statement."
    )


def test_status_says_what_comes_next(shop: Program) -> None:
    """For its findings, as errors do; and counts them."""
    shop("upgrade")
    put(shop.folder, v1_users_up="CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR);")

    lines = shop("status").stdout.splitlines()
    wrong = shop("verify")

    following = 'next: python -m dbmigrate accept 1 --reason "...", if the script is right as it is now'
    assert lines[-2:] == [following, "2 applied, 0 pending, 1 Edited"]
    assert wrong.stderr.splitlines()[-1] == following
    assert [shop(line, "--check").returncode for line in ("status", "plan")] == [3, 3]
    assert shop.json("plan", "--check", code=3)["error"]["type"] == "HistoryError"
    assert shop("plan").returncode == 1


def test_the_next_command_is_said_once(shop: Program) -> None:
    """In the message, or behind it."""
    said = shop("verify").stderr

    assert said.count("python -m dbmigrate upgrade") == 1


def test_nothing_from_the_ledger_steers_a_terminal(shop: Program) -> None:
    """A reason is in one cell, whatever is in it; a tabulator stays in the excerpt of a script only."""
    reason = "a\x1b[2J\n\tb\x07"
    assert shop("baseline", "1", "--reason", reason).returncode == 0
    put(shop.folder, v2_email_up="SELECT 1;\n\tSELECT\t[a\tb] FROM sqlite_master;")

    done = shop("history")
    failed = shop("upgrade")

    (line,) = done.stdout.splitlines()
    assert line.endswith(r"  a\x1b[2J\n\tb\x07")
    assert shop.json("history")["result"]["records"][0]["reason"] == reason
    assert r"no such column: a\tb" in failed.stderr.splitlines()[0]
    assert failed.stderr.splitlines()[1].endswith("\tSELECT\t[a\tb] FROM sqlite_master;")


# -- on a terminal


def test_colours_are_for_terminals_only(shop: Program) -> None:
    """Each stream by itself: a log of errors has none where stdout is a terminal, and the other way round."""
    command = f"{sys.executable} -m dbmigrate goto 9 2>err.log; {sys.executable} -m dbmigrate goto 9 >out.log"
    shell = replace(shop, command=("bash", "-c", command))

    written, _ = shell.on_terminal()

    assert (shop.folder / "err.log").read_text().startswith("error: ")
    assert written.startswith("\x1b[31merror\x1b[0m: ")


def test_on_a_terminal(shop: Program) -> None:
    """One line a migration as it happens, in colours."""
    written, code = shop.on_terminal("upgrade")

    lines = written.split("\r\n")
    assert code == 0
    assert lines[0].startswith("\x1b[32mapplied\x1b[0m  1_users  ")
    assert lines[1].startswith("\x1b[32mapplied\x1b[0m  2_email  ")
    assert re.fullmatch(r"2 applied in \d+ ms", lines[2])
    assert "\x1b[33mpending\x1b[0m" in shop.on_terminal("downgrade")[0] + shop.on_terminal("status")[0]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"CI": "true"}, {"TERM": "dumb"}], ids=str)
def test_colours_can_be_off(variables: dict[str, str], shop: Program) -> None:
    """As https://no-color.org has it; in CI and on a dumb terminal there is no control character at all."""
    put(shop.folder, v3_slow=_SLOW.format(count=2_000_000))

    written, code = replace(shop, variables={**shop.variables, **variables}).on_terminal("upgrade")

    assert code == 0
    assert "\x1b[3" not in written
    if "NO_COLOR" not in variables:
        assert _CONTROL.findall(written.replace("\r\n", "\n")) == []


def test_a_long_step_shows_how_far_it_is(shop: Program) -> None:
    """Statement k of n and the time, in one line that is cleared in the end."""
    put(shop.folder, v3_slow="CREATE TABLE first (x TEXT);\n" + _SLOW.format(count=6_000_000))

    written, code = shop.on_terminal("upgrade")

    assert code == 0
    assert "\rrunning  3_slow up: statement 1 of 2 done, 0 s\x1b[K" in written
    assert re.search(r"\r\x1b\[K\x1b\[32mapplied\x1b\[0m  3_slow  ", written)


def test_a_person_is_asked_before_a_database_is_dropped(shop: Program) -> None:
    """Only a yes will do; where nobody can be asked --yes has to be said."""
    shop("upgrade")
    file = shop.folder / "app.db"

    written, code = shop.on_terminal("database", "drop", typed={"[y/N]": "n\n"})
    assert (code, "nothing was dropped" in written, file.exists()) == (1, True, True)
    done = shop("database", "drop")
    assert (done.returncode, "say --yes" in done.stderr, file.exists()) == (2, True, True)
    written, code = shop.on_terminal("database", "drop", typed={"[y/N]": "y\n"})
    assert (code, "dropped sqlite:///app.db" in written, file.exists()) == (0, True, False)


def test_a_database_is_made_and_made_anew(shop: Program) -> None:
    """Setup and reset end with everything applied."""
    made = shop.json("database", "setup")["result"]
    again = shop.json("database", "setup")["result"]
    anew = shop.json("database", "reset", "--yes")["result"]

    assert (made["created"], made["dropped"], len(made["report"]["outcomes"])) == (True, False, 2)
    assert (again["created"], again["dropped"], len(again["report"]["outcomes"])) == (False, False, 0)
    assert (anew["created"], anew["dropped"], len(anew["report"]["outcomes"])) == (True, True, 2)
    assert shop("verify").returncode == 0


_DESTROYS: Final = ("database reset --yes", "database setup")


@pytest.mark.parametrize("line", _DESTROYS)
@pytest.mark.parametrize("wrong", ["a script", "a setting", "no folder"])
def test_nothing_is_dropped_for_what_cannot_run(line: str, wrong: str, shop: Program) -> None:
    """Settings and scripts are looked at before anything is dropped, created or asked."""
    is_setup = line.endswith("setup")
    if not is_setup:
        assert shop("upgrade").returncode == 0
    before = (shop.folder / "app.db").read_bytes() if not is_setup else None
    if wrong == "a script":
        put(shop.folder, v3_bad="COMMIT;")
    elif wrong == "no folder":
        shutil.rmtree(shop.folder / "migrations")
        (shop.folder / "migrations").touch()
    more = ("--acquire-timeout", "-1") if wrong == "a setting" else ()

    done = shop(*line.split(), *more)

    assert done.returncode in (1, 2)
    assert "before this" not in done.stderr
    assert ((shop.folder / "app.db").read_bytes() if (shop.folder / "app.db").exists() else None) == before


def test_nobody_is_asked_for_what_cannot_run(shop: Program) -> None:
    """The question comes last."""
    shop("upgrade")
    put(shop.folder, v3_bad="COMMIT;")

    written, code = shop.on_terminal("database", "reset")

    assert (code, "[y/N]" in written) == (1, False)


def test_a_failure_behind_the_drop_says_so(shop: Program) -> None:
    """In words and in the object."""
    shop("upgrade")
    put(shop.folder, v3_bad="SELECT nothing;")

    done = shop("database", "reset", "--yes")
    found = shop.json("database", "reset", "--yes", code=1)

    assert (done.returncode, "\nthe database was dropped and created before this\n" in done.stderr) == (1, True)
    assert "the database was dropped and created before this" in found["error"]["notes"]


def test_a_signal_behind_the_drop_says_so(shop: Program) -> None:
    """What had been done to the database is not to be found out."""
    shop("upgrade")
    (shop.folder / "migrations" / "3_endless.py").write_text(_ENDLESS)
    process = replace(shop, command=EXECUTED).start("database", "reset", "--yes", "--json")
    _until((shop.folder / "running").exists)

    process.signal(signal.SIGTERM)
    done = process.finish()

    assert done.returncode == 143
    assert "the database was dropped and created before this" in json.loads(done.stdout)["error"]["notes"]


def test_setup_makes_the_folder_of_migrations(tmp_path: Path) -> None:
    """A project begins with it; other commands do not make it."""
    shop = Program(tmp_path, variables={"DATABASE_URL": _URL})
    assert shop("database", "reset", "--yes").returncode == 1
    assert list(tmp_path.iterdir()) == []

    done = shop("database", "setup", "--source", "db/migrations")
    again = shop.json("database", "setup", "--source", "db/migrations")["result"]

    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "made the folder db/migrations")
    assert (tmp_path / "db" / "migrations").is_dir()
    assert "folder" not in again


# -- interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it_at_a_safe_point(number: signal.Signals, code: int, shop: Program) -> None:
    """The step is rolled back, what was committed is said, and so is the state of the step."""
    (shop.folder / "migrations" / "3_endless.py").write_text(_ENDLESS)
    process = replace(shop, command=EXECUTED).start("upgrade")
    _until((shop.folder / "running").exists)

    process.signal(number)
    done = process.finish()

    assert done.returncode == code, done.stderr
    assert f"interrupted by {number.name}; 2 steps of this call committed; " in done.stderr
    assert "; 3_endless up was rolled back" in done.stderr
    status = Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations").status()
    assert [entry.state for entry in status.entries] == ["applied", "applied", "pending"]


@pytest.mark.kinds("postgresql")
def test_a_signal_ends_a_statement(database: Database, tmp_path: Path) -> None:
    """Where the driver lets go of a statement that runs, so does the command."""
    put(tmp_path, v1_a="CREATE TABLE a (x INT);\nSELECT pg_sleep(60);")
    shop = Program(tmp_path, variables={"DATABASE_URL": database.url.render_as_string(hide_password=False)})
    process = shop.start("upgrade")
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")
        _until(lambda: bool(connection.execute(sleeping).scalar()))

    process.signal(signal.SIGTERM)
    done = process.finish()
    engine.dispose()

    assert done.returncode == 143, done.stderr
    assert "1_a up was rolled back: nothing of it is left" in done.stderr
    assert set(database.tables()) == {"dbmigrate_ledger", "dbmigrate_ledger_journal"}


@pytest.mark.kinds("mariadb")
def test_a_signal_leaves_an_unfinished_step(database: Database, tmp_path: Path) -> None:
    """Where nothing can be rolled back it says so."""
    put(tmp_path, v1_a="CREATE TABLE a (x INT);\nDO sleep(4);")
    shop = Program(tmp_path, variables={"DATABASE_URL": database.url.render_as_string(hide_password=False)})
    process = shop.start("upgrade", "--json")
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        running = text("SELECT count(*) FROM information_schema.processlist WHERE info = 'DO sleep(4)'")
        _until(lambda: bool(connection.execute(running).scalar()))
        process.signal(signal.SIGINT)
        done = process.finish()
        _until(lambda: not connection.execute(running).scalar())  # the server goes on without the client
    engine.dispose()

    assert done.returncode == 130
    assert json.loads(done.stdout)["error"]["message"].endswith("1_a up is unfinished: see python -m dbmigrate status")


class _Terminal:
    """Where somebody sits who sends a signal instead of an answer."""

    def isatty(self) -> bool:
        """Say so."""
        return True

    def readline(self) -> str:
        """Be interrupted; a yes that comes too late is none."""
        os.kill(os.getpid(), signal.SIGTERM)
        return "y\n"


def test_a_signal_is_no_yes(shop: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the question is ended, and it is said that nothing was done."""
    shop("upgrade")
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("DATABASE_URL", _URL)
    monkeypatch.setattr(sys, "stdin", _Terminal())

    assert main(["database", "drop"]) == 143
    said = capsys.readouterr().err
    assert "[y/N] \nerror: interrupted by SIGTERM" in said
    assert said.endswith("\nnothing was dropped\n")
    assert (shop.folder / "app.db").exists()


class _Late(io.StringIO):
    """Whoever reads it asks the program to stop when the answer comes."""

    def write(self, text: str, /) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        return super().write(text)


def test_a_signal_behind_the_answer_changes_nothing(shop: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, and is printed; afterwards signals are the program's own again."""
    late = _Late()
    monkeypatch.setattr(sys, "stdout", late)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        migrator = Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations")
        assert main(["status", "--json"], migrator=migrator) == 0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert json.loads(late.getvalue())["exit_code"] == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_at_the_end_of_the_program_changes_nothing(shop: Program) -> None:
    """The answer was given; the exit code is that of the command."""
    ends = "atexit.register(os.kill, os.getpid(), signal.SIGTERM); raise SystemExit(main())"
    code = f"import atexit, os, signal; from dbmigrate.cli import main; {ends}"
    program = replace(shop, command=(sys.executable, "-c", code))

    assert (program("status").returncode, program("status", "--check").returncode) == (0, 3)


def test_a_second_signal_cuts_the_look_short(
    shop: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: it says what it knows."""
    stop = "import os, signal\ndef upgrade(connection):\n    os.kill(os.getpid(), signal.SIGTERM)\n"
    (shop.folder / "migrations" / "3_stop.py").write_text(stop)

    def status(_: Migrator) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Migrator, "status", status)
    migrator = Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations")

    assert main(["upgrade"], migrator=migrator) == 143
    said = capsys.readouterr().err
    assert said == (
        "error: interrupted by SIGTERM; 2 steps of this call committed; 3_stop up was running: see dbmigrate status\n"
    )


def _until(is_so: object) -> None:
    assert callable(is_so)
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


# -- new


def names(shop: Program) -> list[str]:
    """Return what is in the folder of migrations."""
    return sorted(path.relative_to(shop.folder / "migrations").as_posix() for path in _files(shop))


def _files(shop: Program) -> list[Path]:
    return [path for path in (shop.folder / "migrations").rglob("*") if path.is_file()]


def test_new_writes_each_form(tmp_path: Path) -> None:
    """A pair, a folder, a single file, Python; what is printed is there, and is no migration until it is written."""
    shop = Program(tmp_path, variables={"DATABASE_URL": _URL})

    printed = [
        shop("new", *words).stdout.split()
        for words in (["add users"], ["Ünï-code!", "--directory"], ["only_up", "--up-only"], ["fill", "--python"])
    ]

    stems = [re.sub(r"\d{14}", "V", path) for paths in printed for path in paths]
    assert stems == [
        "migrations/V_add_users.up.sql",
        "migrations/V_add_users.down.sql",
        "migrations/V_Ünï-code/up.sql",
        "migrations/V_Ünï-code/down.sql",
        "migrations/V_only_up.sql",
        "migrations/V_fill.py",
    ]
    assert sorted(f"migrations/{name}" for name in names(shop)) == sorted(path for paths in printed for path in paths)
    done = shop("upgrade")
    assert (done.returncode, done.stderr.count("there is no statement in it")) == (1, 3)
    for path in (tmp_path / "migrations").rglob("*.sql"):
        path.unlink()
    (tmp_path / "migrations" / Path(stems[2]).parent.name.replace("V", printed[1][0].split("/")[1][:14])).rmdir()
    assert shop("validate").returncode == 0
    done = shop("upgrade")
    assert (done.returncode, "failed: NotImplementedError: write this migration" in done.stderr) == (1, True)


def test_new_continues_in_the_style_of_the_others(shop: Program) -> None:
    """Numbers are counted on, times go on, and either can be asked for."""
    assert shop.json("new", "a")["result"]["version"] == "3"
    put(shop.folder, v0009_b="SELECT 1;")
    assert shop.json("new", "c")["result"]["version"] == "0010"
    stamp = shop.json("new", "d", "--timestamp")["result"]["version"]
    assert re.fullmatch(r"20\d{12}", stamp)
    assert int(shop.json("new", "e")["result"]["version"]) > int(stamp)
    assert re.fullmatch(r"20\d{12}", shop.json("new", "f", "--sequential")["result"]["version"])


def test_new_versions_are_unique(tmp_path: Path) -> None:
    """Sixteen processes at once: no two have the same, and each pair is whole."""
    shop = Program(tmp_path, variables={"DATABASE_URL": _URL})

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda number: shop.json("new", f"step {number}")["result"], range(16)))

    versions = [one["version"] for one in made]
    assert len(set(versions)) == 16
    assert names(shop) == sorted(Path(path).name for one in made for path in one["paths"])


def test_new_takes_a_template(tmp_path: Path) -> None:
    """From a folder that is configured; what it does not have is as ever, and dollars and percents stay."""
    (tmp_path / "template").mkdir()
    (tmp_path / "template" / "up.sql").write_text("-- {version} {name}: $$ 5% {other}\nSELECT 1;\n")
    (tmp_path / "dbmigrate.toml").write_text('template = "template"\n')
    shop = Program(tmp_path)

    up, down = (tmp_path / path for path in shop("new", "add users").stdout.split())

    assert re.fullmatch(r"-- \d{14} add_users: \$\$ 5% \{other\}\nSELECT 1;\n", up.read_text())
    assert down.read_text().startswith("-- add_users: take back")


@pytest.mark.parametrize("name", ["", " ", "../", "..."])
def test_new_wants_a_name(name: str, shop: Program) -> None:
    """Nothing is written without one, and nothing elsewhere."""
    before = names(shop)

    done = shop("new", name)

    assert (done.returncode, "is no name for a migration" in done.stderr) == (2, True)
    assert names(shop) == before


def test_new_says_why_it_cannot_write(tmp_path: Path) -> None:
    """A file where the folder should be, a template that is not there or no text, a source that is no folder."""
    shop = Program(tmp_path)
    (tmp_path / "migrations").touch()
    (tmp_path / "template").mkdir()
    (tmp_path / "template" / "up.sql").write_bytes(b"\xff")

    for words, said in (
        ((), "cannot be written: "),
        (("--source", "db", "--template", "none"), "there is no folder none"),
        (("--source", "db", "--template", "template"), "cannot be written: 'utf-8' codec"),
    ):
        done = shop("new", "x", *words)
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    (tmp_path / "dbmigrate.toml").write_text('source = { package = "pytest" }')
    done = shop("new", "x")
    assert (done.returncode, "the package pytest is installed" in done.stderr) == (2, True)


# -- a project's own


_BINARY: Final = """
import sys
from dbmigrate import Migrator
from dbmigrate.cli import make_cli

def factory():
    print("made", file=sys.stderr)
    return Migrator("sqlite:///own.db", "migrations", on_event=lambda event: print(event, file=sys.stderr))

main = make_cli(factory)
if __name__ == "__main__":
    raise SystemExit(main())
"""


def test_a_projects_own_program(shop: Program) -> None:
    """It has every command, and makes its Migrator only when it needs one, once."""
    (shop.folder / "shop-migrate").write_text(_BINARY)
    own = Program(shop.folder, (sys.executable, shop.folder / "shop-migrate"))

    described = own("--help")
    assert (described.returncode, described.stderr) == (0, "")
    assert described.stdout.startswith("usage: shop-migrate ")
    assert set(re.findall(r"(?m)^    (\w+)", described.stdout)) == set(make_parser("", configured=False).below)
    assert "--profile" not in described.stdout
    assert (own("goto").returncode, own("--version").stderr) == (2, "")

    done = own("upgrade", "--transaction", "all")
    assert done.returncode == 0
    assert done.stderr.count("made\n") == 1
    assert done.stderr.count("StepFinished(") == 2
    assert (shop.folder / "own.db").exists()
    assert not (shop.folder / "app.db").exists()
    assert own("new", "x").stdout.startswith("migrations/3_x.up.sql\n")
    rows = {row["name"]: (row["value"], row["origin"]) for row in own.json("config")["result"]["settings"]}
    assert rows["database"] == ("sqlite:///own.db", "the application")
    assert own("upgrade", "--database", _URL).returncode == 2


@pytest.mark.parametrize("raised", ["KeyError('DATABASE_URL')", "ConfigurationError('no tenant')"])
def test_an_application_that_is_not_configured(raised: str, shop: Program) -> None:
    """What its function raises is an error of configuration, in the object as well, and shows where it comes from."""
    text = _BINARY.replace('print("made", file=sys.stderr)', f"raise {raised}").replace("import F", "import C")
    (shop.folder / "own.py").write_text(text.replace("dbmigrate import ", "dbmigrate import ConfigurationError, ", 1))
    own = Program(shop.folder, script=str(shop.folder / "own.py"))

    done = own("status")
    found = own.json("status", code=2)

    assert (done.returncode, done.stdout) == (2, "")
    said = (
        "error: the application cannot say what to migrate: KeyError: 'DATABASE_URL'"
        if "Key" in raised
        else "no tenant"
    )
    assert said in done.stderr
    assert ("own.py" in done.stderr) == ("Key" in raised)
    assert found["error"]["type"] == "ConfigurationError"


def test_a_module_is_called_by_its_name(shop: Program) -> None:
    """What is pointed to can be typed."""
    (shop.folder / "store").mkdir()
    (shop.folder / "store" / "__init__.py").touch()
    (shop.folder / "store" / "migrate.py").write_text(_BINARY)
    own = Program(shop.folder, (sys.executable, "-m", "store.migrate"))

    assert own("--help").stdout.startswith("usage: python -m store.migrate ")
    assert "Try 'python -m store.migrate goto --help'" in own("goto").stderr
    assert "Run python -m store.migrate upgrade first" in own("verify").stderr


_ODD: Final = [
    ("raise SystemExit(7)", "the application cannot say what to migrate: SystemExit: 7"),
    ("raise GeneratorExit", "the application cannot say what to migrate: GeneratorExit"),
    ("return None", "the application's function returned NoneType, not a Migrator"),
    ("return Migrator", "the application's function returned type, not a Migrator"),
]


@pytest.mark.parametrize(("does", "said"), _ODD)
def test_a_function_that_returns_no_migrator(does: str, said: str, shop: Program) -> None:
    """It ends with 2, and with one object, whatever it does instead."""
    (shop.folder / "own.py").write_text(_BINARY.replace('print("made", file=sys.stderr)', does))
    own = Program(shop.folder, script=str(shop.folder / "own.py"))

    done = own("status")

    assert (done.returncode, done.stdout, said in done.stderr) == (2, "", True)
    assert own.json("status", code=2)["error"]["message"].startswith(said)
    assert own("completions", "words", COMP_LINE="own.py goto ").stderr == ""


def test_main_wants_a_migrator(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is an error like others."""
    wrong: Any = 5

    assert main(["status", "--json"], migrator=wrong) == 2
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "migrator is a Migrator or None, not int"


@pytest.mark.parametrize(("line", "code"), sorted({(line, code) for line, is_applied, code in COMMANDS if is_applied}))
def test_commands_over_a_connection(
    line: str, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a transaction of the caller's each command does what it does otherwise, or says that it cannot."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, v1_a_up="CREATE TABLE a (x TEXT);", v1_a_down="DROP TABLE a;", v2_b_up="SELECT 1;")
    put(tmp_path, v2_b_down="SELECT 1;")
    engine = create_engine("sqlite:///app.db")
    Migrator(engine).upgrade()
    cannot = line.startswith(("wait", "database"))

    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
        found = main([*line.split(), "--json"], migrator=Migrator(connection))
    engine.dispose()

    told = json.loads(capfd.readouterr().out)
    assert found == (2 if cannot else code), told
    assert (told["error"] or {}).get("type") in (
        {"ConfigurationError"} if cannot else {None, "TargetError", "HistoryError"}
    )


@pytest.mark.parametrize(
    "words",
    [
        ("upgrade", "{url}"),
        ("goto", "{url}"),
        ("status", "--profile", "{url}"),
        ("config", "--source", "{url}"),
        ("status", "--source", "{url}"),
        ("config", "--layout", "{url}"),
        ("accept", "{url}", "--reason", "x"),
        ("status", "--config", "{url}"),
        ("new", "x", "--template", "{url}"),
        ("plan", "--allow", "{url}"),
        ("{url}",),
    ],
)
@pytest.mark.parametrize(
    "url", ["postgresql://ana:s3nt/in:el@h/d", "mysql://ana:s3nt in el@h", "x://u@h/?password=s3ntinel"]
)
def test_no_word_shows_a_password(words: tuple[str, ...], url: str, shop: Program) -> None:
    """Wherever a URL stands by mistake."""
    line = [word.format(url=url) for word in words]

    for done in (shop(*line), shop(*line, "--json")):
        assert not re.search("s3nt|in:el|in el", done.stdout + done.stderr)
        assert "***" in done.stdout + done.stderr


def test_no_traceback_shows_a_password(shop: Program) -> None:
    """Neither the message of an application's error, nor its source text."""
    raises = "raise RuntimeError('postgresql://ana:s3ntinel@h/d')"
    (shop.folder / "own.py").write_text(_BINARY.replace('print("made", file=sys.stderr)', raises))
    own = Program(shop.folder, script=str(shop.folder / "own.py"))

    for done in (own("status"), own("status", "--json")):
        assert "RuntimeError" in done.stderr
        assert "s3ntinel" not in done.stdout + done.stderr


def test_a_printed_script_has_every_letter(shop: Program) -> None:
    """Also what looks like a password, or would steer a terminal: it is there to be run."""
    put(shop.folder, v3_url="INSERT INTO users (name) VALUES ('http://a:b@c\t\x1b');")

    script = Migrator(f"sqlite:///{shop.folder}/app.db", shop.folder / "migrations").plan().sql()
    assert "http://a:b@c\t\x1b" in script
    assert shop("plan", "--sql").stdout == script
    assert shop.json("plan", "--sql")["result"]["sql"] == script


@pytest.mark.parametrize(
    "words",
    [
        ("validate", "--dialect", "a b"),
        ("status", "--config", "deep.toml"),
        ("new", "x", "--config", "none.toml"),
        ("status", "--config", "none.toml"),
        ("status", "--config", "nul.toml"),
        ("new", "x", "--config", "nul.toml"),
        ("goto", "\udcff"),
        ("status", "--database", "sqlite:///\udcff"),
        ("status", "--database", "postgresql://h:port/d"),
        ("status", "--env-file", "migrations"),
        ("status", "--config", "migrations"),
    ],
)
def test_what_settings_make_others_raise(words: tuple[str, ...], shop: Program) -> None:
    """It is one line, or one object, and never a traceback."""
    (shop.folder / "deep.toml").write_text("x = " + "[" * 5000)
    (shop.folder / "none.toml").write_text('source = { package = "no.such" }')
    (shop.folder / "nul.toml").write_text('source = "a\\u0000b"')
    # a package that is missing is what a source has to say of itself
    codes = (1, 2) if words[0] == "status" and "none.toml" in words else (2,)

    plain, structured = shop(*words), shop(*words, "--json")

    assert (plain.returncode in codes, plain.stdout, plain.stderr[:7]) == (True, "", "error: ")
    assert "Traceback" not in plain.stderr + structured.stderr
    assert (json.loads(structured.stdout)["exit_code"], structured.returncode) == (plain.returncode,) * 2


def test_a_folder_that_is_gone(shop: Program, tmp_path: Path) -> None:
    """Where the process is cannot be said any more, and that is an error of the environment."""
    command = f"mkdir gone && cd gone && rmdir ../gone && PYTHONPATH={ROOT} {sys.executable} -m dbmigrate status --json"

    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert json.loads(done.stdout)["exit_code"] == 2


def test_a_defect_is_not_hidden(
    shop: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback is shown, and there is an object as well."""

    def status(_: Migrator) -> None:
        raise ValueError("ours, with postgresql://ana:s3ntinel@h/d")

    monkeypatch.setattr(Migrator, "status", status)

    assert main(["status", "--json"], migrator=Migrator(f"sqlite:///{shop.folder}/app.db")) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "Traceback" in said.err
    assert (found["exit_code"], found["error"]["type"], found["error"]["format"]) == (1, "ValueError", 1)
    assert "s3ntinel" not in said.out + said.err


@pytest.mark.kinds("postgresql", "mariadb")
def test_no_connection_is_code_1(database: Database, shop: Program) -> None:
    """That may pass, and a wrong configuration does not."""
    away = database.url.set(port=1, host="127.0.0.1", query={}).render_as_string(hide_password=False)

    done = shop("status", "--database", away)

    assert (done.returncode, "cannot connect to " in done.stderr) == (1, True)
    assert shop("status", "--database", "postgresql+nodriver://h/d").returncode == 2


# -- completion


def test_a_shell_completes(shop: Program) -> None:
    """A real bash, asked by a tabulator: commands, options, versions."""
    program = Path(sys.executable).parent / "dbmigrate"
    shell = Program(
        shop.folder, ("bash", "--norc", "-i"), {**shop.variables, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    )

    written, _ = shell.on_terminal(
        typed={
            "first> ": "source <(dbmigrate completions bash); PS1='sec''ond> '\n",
            "second> ": "dbmigrate stat\t--che\t; echo $((40 + 2))\n",
            "42": "dbmigrate upgrade --to \t\t",
            "1  2": "2 && echo $((50 + 4)); exit\n",
        },
        PS1="first> ",
    )

    assert "dbmigrate status --check" in written
    assert "1_users" in written


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dbmigrate sta", ["status"]),
        ("dbmigrate database ", ["create", "setup", "drop", "reset"]),
        ("dbmigrate goto ", ["1", "2"]),
        ("dbmigrate goto --allow Ahead ", ["1", "2"]),
        ("dbmigrate upgrade --to 2", ["2"]),
        ("dbmigrate upgrade --transaction ", ["each", "all"]),
        ("dbmigrate downgrade --st", ["--statement-timeout", "--steps"]),
        ("dbmigrate goto 1 ", []),
        ("dbmigrate --database sqlite:///x accept ", ["1", "2"]),
    ],
)
def test_words(line: str, words: list[str], shop: Program) -> None:
    """What may stand at the end of a line; nothing where the source cannot be read."""
    assert shop("completions", "words", "dbmigrate", "", "", COMP_LINE=line).stdout.split() == words
    put(shop.folder, v1_again="SELECT 1;")
    if words == ["1", "2"]:
        assert shop("completions", "words", COMP_LINE=line).stdout.split() == []


@pytest.mark.parametrize("line", ["", "dbmigrate", "  "])
def test_no_words(line: str, shop: Program) -> None:
    """There is nothing to complete yet, or somebody asked by hand."""
    (shop.folder / "dbmigrate.toml").write_text('database = "postgresql://u:hunter2@h/d"\n')

    done = shop("completions", "words", COMP_LINE=line)
    versions = shop("completions", "words", COMP_LINE="dbmigrate goto ")

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert (versions.stdout.split(), versions.stderr) == (["1", "2"], "")
    assert shop("completions", "words", "dbmigrate", "x", "--json", COMP_LINE="dbmigrate sta").stdout == "status\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script(shell: str, shop: Program) -> None:
    """By the program under its own name, in the object as well."""
    own = replace(shop, command=(Path(sys.executable).parent / "dbmigrate",))

    script = own("completions", shell).stdout
    found = own.json("completions", shell)

    assert "dbmigrate completions words" in script
    assert found["result"] == {"format": 1, "type": "Completions", "script": script.removesuffix("\n")}


# -- what it costs


def test_it_loads_only_what_it_uses(shop: Program) -> None:
    """`status` loads nothing for other commands, for errors, for JSON or for shells, beyond what the library does."""
    code = "import sys; {}; print(*sys.modules)"
    loads = "import dbmigrate, dbmigrate.dialects.sqlite, argparse; dbmigrate.Migrator('sqlite:///app.db').status()"
    runs = "from dbmigrate.cli import main; main(['status'])"
    library, command = (
        set(Program(shop.folder, (sys.executable, "-c", code.format(each)), shop.variables)().stdout.split())
        for each in (loads, runs)
    )

    added = command - library
    ours = {name for name in added if name.startswith("dbmigrate")}
    assert ours == {
        "dbmigrate.cli",
        "dbmigrate.cli.call",
        "dbmigrate.cli.commands",
        "dbmigrate.cli.config",
        "dbmigrate.cli.lookup",
        "dbmigrate.cli.output",
        "dbmigrate.cli.parser",
    }
    assert {name.partition(".")[0] for name in added - ours} & {
        "json",
        "difflib",
        "tomllib",
        "dotenv",
        "getpass",
    } == set()
