"""What README and examples say is so."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from sqlalchemy import event

import dbmigrate
from dbmigrate import MemorySource, MigrationFailed, Migrator, sql_migration
from dbmigrate.cli import config, main, make_cli
from dbmigrate.cli.parser import Parser, make_parser
from tests.checkers import ROOT, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

README = (ROOT / "README.md").read_text()
QUICKSTART = ROOT / "examples" / "quickstart"
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
#: What is put into a file, or raises, is said in a comment in front of a block: `file: NAME`, `raises: ERROR`.
_BLOCK = re.compile(r"(?:<!-- (file|raises): (\S+) -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)


class Block(NamedTuple):
    """One block of code of the README."""

    #: "file", "raises" or nothing, and what of.
    mark: str
    name: str
    language: str
    text: str


#: The blocks that are run one after the other; before them stand the first example and the commands of a newcomer.
TOUR = [
    Block(*found)
    for found in _BLOCK.findall(README.split("## The first migration")[1].split("## What is guaranteed")[0])
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the quickstart's migrations in it."""
    shutil.copytree(QUICKSTART / "migrations", tmp_path / "migrations")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_example_solves_the_problem_in_five_lines(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first block of the README runs as it stands."""
    assert len([line for line in BLOCKS[0].splitlines() if line]) <= 5

    exec(compile(BLOCKS[0], "README", "exec"), {})  # noqa: S102 - our own README

    assert capsys.readouterr().out.splitlines() == [
        "applied 20261123101500_add_users",
        "applied 20261123102000_add_email",
        "applied 20261123104000_add_notes",
    ]


def _write(block: Block, folder: Path, name: str) -> Path:
    path = folder / (block.name if block.mark == "file" else name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
    return path


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From top to bottom in one folder: files are written, Python is run, and so are the commands."""
    monkeypatch.chdir(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for number, block in enumerate(TOUR):
        if block.mark == "file":
            _write(block, tmp_path, block.name)
        elif block.language == "python":
            code = compile(block.text, f"README block {number}", "exec")
            if block.mark == "raises":
                with pytest.raises(getattr(dbmigrate, block.name)):
                    exec(code, {})  # noqa: S102 - our own README
            else:
                exec(code, {})  # noqa: S102
        elif block.language == "sh" and (shutil.which("sqlite3") or "sqlite3 " not in block.text):
            subprocess.run(["bash", "-ec", block.text], check=True, env={**os.environ, "PATH": path})

    assert "applied    20261123101500_add_users" in capsys.readouterr().out
    assert Migrator("sqlite:///app.db").status().is_current
    assert Migrator("sqlite:///orders.db", "shop/migrations").status().is_current
    assert Migrator("sqlite:///zipped.db", "shop/migrations").status().is_current
    if shutil.which("sqlite3"):
        applied = Migrator("sqlite:///reviewed.db").status().applied
        assert [entry.name for entry in applied] == ["add_users", "add_email"]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_every_block_type_checks(request: pytest.FixtureRequest, checker: str, tmp_path: Path) -> None:
    """A program that is written from the README alone is clean under strict type checkers."""
    files = [_write(b, tmp_path, f"block_{n}.py") for n, b in enumerate(TOUR) if b.language == "python"]
    names = [str(file.relative_to(tmp_path)) for file in files if file.parent != tmp_path / "migrations"]
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    arguments = {"mypy": ["--strict", *names], "pyright": ["--pythonpath", sys.executable]}[checker]

    check(request, tmp_path, checker, *arguments, own=files)


def test_every_call_is_in_the_table() -> None:
    """And every error, every finding and every event is named."""
    text = README.split("## Calls")[1]
    calls = [name for name, member in vars(Migrator).items() if inspect.isfunction(member) and name[0] != "_"]
    kinds = (dbmigrate.MigrationError, dbmigrate.Finding)
    classes = [value for value in vars(dbmigrate).values() if isinstance(value, type) and issubclass(value, kinds)]

    assert [name for name in calls if f"| `{name}(" not in text] == []
    assert [kind.__name__ for kind in classes if f"`{kind.__name__}`" not in text] == ["Finding"]


def test_every_guarantee_names_a_test_that_there_is() -> None:
    """The tests that the README names exist under those names."""
    named = re.findall(
        r"`((?:faults/|schema/)?test_\w+\.py)?(?:::(test_\w+))?`",
        README.split("## What is guaranteed")[1].split("##")[0],
    )
    file = ""
    found = 0
    for name, test in named:
        file = name or file
        text = (ROOT / "tests" / file).read_text()
        assert not test or f"def {test}(" in text, f"{file}::{test}"
        found += 1

    assert found >= 12


def test_the_quickstart_does_nothing_the_second_time(tmp_path: Path) -> None:
    """It prints what was applied and the status, and the second time that there is nothing to do."""
    copy = shutil.copytree(QUICKSTART, tmp_path / "quickstart", ignore=shutil.ignore_patterns("app.db*"))
    outputs = [
        subprocess.run(
            [sys.executable, copy / "app.py"], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for _ in range(2)
    ]

    assert [line.split(" in ")[0] for line in outputs[0][:3]] == [
        "applied 20261123101500_add_users",
        "applied 20261123102000_add_email",
        "applied 20261123104000_add_notes",
    ]
    assert outputs[1][0] == "nothing to do"
    assert outputs[0][3:] == outputs[1][1:]
    assert [line.split()[0] for line in outputs[1][1:]] == ["applied"] * 3


# -- commands


def _section(title: str) -> str:
    """Return what stands under a heading, up to the next one of its kind or above."""
    level, text = title.split(" ", maxsplit=1)[0], README.split(f"\n{title}\n")[1]
    return re.split(rf"\n#{{1,{len(level)}}} ", text)[0]


def _rows(text: str, head: str) -> list[list[str]]:
    """Return the cells of each row of the table with that head."""
    lines = text.split(f"\n| {head} |\n")[1].split("\n\n", maxsplit=1)[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


_PARSER: Final = make_parser("dbmigrate", configured=True)
#: Their commands, options and files, by the facts about Diesel 2.3 and SQLx 0.9.
_THEIRS: Final = """
migration generate|migration run|migration revert|migration redo|migration list|migration pending|diesel setup
diesel database setup|diesel database reset|diesel database drop|print-schema|diesel completions
--database-url|--config-file|DIESEL_CONFIG_FILE|diesel.toml|--locked-schema|--migration-dir|DIESEL_LOG|DATABASE_URL
MIGRATION_DIRECTORY|[migrations_directory]|[print_schema]|--no-schema|--number|--all|--version|--no-down|--format sql
--diff-schema|--schema-key|--no-default-migration
--schema|--only-tables|--except-tables|--with-docs|--with-docs-config|--allow-tables-to-appear-in-same-query-config
--column-sorting|--patch-file|--import-types|--no-generate-missing-sql-type-definitions
--except-custom-type-definitions|--custom-type-derives|--pg-domains-as-custom-types
--sqlite-integer-primary-key-is-bigint|--include-views|--experimental-infer-nullable-for-views|--custom-enum-derives
--no-generate-rust-enum-types
sqlx database create|sqlx database drop|sqlx database reset|sqlx database setup|migrate add|migrate run
migrate revert|migrate info|override skip|build-script|prepare|sqlx completions
--no-dotenv|database-url-var|--connect-timeout|--sqlite-create-db-wal|--config|sqlx.toml|--source|migrations-dir
--yes|--force|--simple|--reversible|--timestamp|--sequential|run --dry-run|run --ignore-missing|run --target-version
revert --dry-run|revert --ignore-missing|revert --target-version|skip --dry-run|--check|--workspace
table-name|create-schemas|ignored-chars|migration-type|migration-versioning|db|mig|prep|SQLX_OFFLINE|SQLX_OFFLINE_DIR
[macros]|unsafe-load-extensions|-y|-f
"""


def _of_the_readme() -> Iterator[tuple[list[str], str]]:
    """Give each command of ours that the table for users of Diesel and SQLx names, with one of its options or none."""
    for _, ours in _rows(_section("### If you know Diesel or SQLx"), "theirs | ours"):
        command = ["upgrade"]  # it has the options of every command
        for span in re.findall("`([^`]+)`", ours):
            words = span.split()
            if words[1:2] == ["="]:
                assert words[0] in config.read({}, {}).known
                continue
            if words[0] in _PARSER.below:
                command = words[: 1 + bool(_PARSER.below[words[0]].below)]
            elif words[0][0] != "-":
                assert re.search(r"[A-Z.]|^dbmigrate$", span), f"{span} is no command of ours"
                continue
            yield command, ""
            yield from ((command, word) for word in words if word.startswith("-"))


def test_commands_for_users_of_diesel_and_sqlx(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the right column names is there, and has the options that are said with it."""
    found = 0
    for command, option in _of_the_readme():
        assert main([*command, "--help"]) == 0, command
        assert re.search(rf"{option}\b", capsys.readouterr().out), f"{command}: {option}"
        found += 1

    assert found > 50


def test_no_command_of_diesel_and_sqlx_is_left_out() -> None:
    """Each command, option and file of theirs is in the left column."""
    left = [cells[0] for cells in _rows(_section("### If you know Diesel or SQLx"), "theirs | ours")]
    spans = [span for cell in left for span in re.findall("`([^`]+)`", cell)]
    # what follows a command in its cell, as `--force` behind `drop --yes`, is meant of it too
    spans += [f"{cell.split('`')[1].split('--')[0]}{span}" for cell in left for span in re.findall("`(--[^`]+)`", cell)]
    words = [name for line in _THEIRS.split("\n") for name in line.split("|") if name]

    assert [
        name for name in words if not any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", s) for s in spans)
    ] == []


def test_every_error_has_its_call_and_its_command() -> None:
    """The table of errors has them all, and the calls and commands that come next are there."""
    rows = _rows(_section("## When it fails"), "error | state | next")
    kinds = {
        name for name, value in vars(dbmigrate).items() if isinstance(value, type) and issubclass(value, Exception)
    }

    assert kinds == {match[1] for cells in rows if (match := re.match(r"`(\w+)`", cells[0]))}
    for _, _, following in rows:
        for command in re.findall(r"`dbmigrate (\w+)", following):
            assert command in _PARSER.below
        for call in re.findall(r"`(\w+)\(\)`", following):
            assert callable(getattr(Migrator, call))
        assert re.search(r"`dbmigrate |same call again|`--yes`", following), following


_JSON: Final = {
    "goto": ("goto", "1"),
    "baseline": ("baseline", "1", "--reason", "x"),
    "new": ("new", "more"),
    "database drop": ("database", "drop", "--yes"),
    "database reset": ("database", "reset", "--yes"),
    "completions": ("completions", "bash"),
}


def _commands(parser: Parser) -> set[str]:
    """Return every command, with its action where it has some."""
    return {f"{name} {action}".strip() for name, one in parser.below.items() for action in one.below or [""]}


def test_json_is_as_the_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command, with the type and the keys of its result; and the errors that only the command line has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///app.db")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1_a.up.sql").write_text("CREATE TABLE a (x INTEGER)")
    (tmp_path / "migrations" / "1_a.down.sql").write_text("DROP TABLE a")
    types = dict[str, str]()
    keys = dict[str, set[str]]()
    for names, kind, words in _rows(_section("## The command line"), "command | `type` | keys"):
        group = ""
        for name in re.findall("`([^`]+)`", names):
            group = name.split()[0] if " " in name else group
            full = f"{group} {name}" if group and " " not in name else name
            types[full] = kind.strip("`")
            keys[full] = set(re.findall(r"`(\w+)`", words.split(": each")[0].split("; with")[0]))
    for name in ("database setup", "database reset"):
        keys[name] |= keys["database create"]

    def run(*words: str) -> dict[str, Any]:
        main([*words, "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert set(found) == {"format", "command", "exit_code", "result", "error"}
        return found

    def said(name: str, *words: str) -> None:
        found = run(*(words or _JSON.get(name, tuple(name.split()))))
        assert found["error"] is None
        assert found["result"].pop("format") == 1
        assert found["result"].pop("type") == types.pop(name), name
        assert set(found["result"]) == keys[name], name

    assert set(types) == _commands(_PARSER) - {"verify"}
    keys["plan"].add("sql")
    said("plan", "plan", "--sql")
    for name in ("baseline", "database reset", "database drop", "database create", "database setup", "goto", "redo"):
        said(name)
    assert run("verify")["result"] is None
    for name in ("status", "wait", "history", "validate", "drift"):
        said(name)
    for name in ("downgrade", "upgrade", "config", "completions", "new"):
        said(name)
    said("schema print")
    said("schema check", "schema", "check", "schema.py")
    assert set(types) == {"accept", "resolve", "resume"}  # they end as `baseline` and `upgrade` do
    failed = run("accept", "1", "--reason", "x")
    assert (failed["result"], failed["exit_code"]) == (None, 1)
    assert {"type", "message", "notes"} <= set(failed["error"])
    usage = run("upgrad")
    assert (usage["command"], usage["error"]["type"], usage["exit_code"]) == (None, "UsageError", 2)

    def stopped() -> Migrator:
        raise KeyboardInterrupt

    assert make_cli(stopped)(["status", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "Interrupted"


def test_a_reset_that_fails_is_gone_on_with_by_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is behind the drop stays as far as it came; setup drops nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///app.db")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1_a.sql").write_text("CREATE TABLE a (x INTEGER)")
    (tmp_path / "migrations" / "2_b.sql").write_text("DROP TABLE nowhere")

    assert main(["database", "reset", "--yes"]) == 1
    assert "1 step of this call before it is committed" in capsys.readouterr().err
    (tmp_path / "migrations" / "2_b.sql").write_text("CREATE TABLE b (x INTEGER)")
    assert main(["database", "setup"]) == 0
    assert "1 applied" in capsys.readouterr().out


def test_both_names_are_the_same_program() -> None:
    """What installing puts on the PATH."""
    programs = ([Path(sys.executable).parent / "dbmigrate"], [sys.executable, "-m", "dbmigrate"])
    said = {subprocess.check_output([*program, "--version"], text=True) for program in programs}

    assert said == {f"dbmigrate {dbmigrate.__version__}\n"}


def test_a_password_of_the_environment_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable goes into the URL as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dbmigrate.toml").write_text('database = "postgresql+psycopg://shop:${PASSWORD}@db/shop"\n')

    url = config.read({}, {"PASSWORD": "p%40s%2Fs%25"}).url

    assert (url.password, url.host, url.database) == ("p@s/s%", "db", "shop")


def test_a_program_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`validate` and `new` make the Migrator too; and no setting protects its database."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dbmigrate.toml").write_text('protected = true\ndatabase = "sqlite:///own.db"\n')
    (tmp_path / "migrations").mkdir()
    made = list[str]()

    def factory() -> Migrator:
        made.append("made")
        return Migrator("sqlite:///own.db")

    own = make_cli(factory, prog="own")
    assert [own(words) for words in (["validate"], ["new", "x"], ["database", "create"])] == [0, 0, 0]
    assert len(made) == 3
    assert main(["database", "drop", "--yes"]) == 2
    assert own(["database", "drop", "--yes"]) == 0
    assert "is protected by dbmigrate.toml" in capsys.readouterr().err


# -- words


def test_dml_outside_a_transaction_commits_with_its_beginning(postgresql: Database) -> None:
    """Nothing of it is recorded, and nothing is left, if its first statement fails."""
    seen = list[int]()
    source = MemorySource(
        [
            sql_migration("1", "a", "CREATE TABLE a (x INTEGER PRIMARY KEY)"),
            sql_migration("2", "b", "-- no-transaction\nINSERT INTO a VALUES (1); INSERT INTO a VALUES (1)"),
        ]
    )
    engine = postgresql.engine()

    @event.listens_for(engine, "before_cursor_execute")
    def look(*arguments: Any) -> None:
        if arguments[2].startswith("INSERT INTO a"):
            seen.append(len(postgresql.query("SELECT 1 FROM dbmigrate_ledger")))

    with pytest.raises(MigrationFailed):
        Migrator(engine, source).upgrade()

    assert seen == [1, 2]
    other = [*source.load()[:1], sql_migration("2", "b", "-- no-transaction\nINSERT INTO nowhere VALUES (1)")]
    fresh = postgresql.another()
    with pytest.raises(MigrationFailed, match="Nothing of the step was committed"):
        Migrator(fresh.url, MemorySource(other)).upgrade()
    assert [str(record) for record in Migrator(fresh.url, MemorySource(other)).history()] == ["1_a"]


def _ratios(database: str, what: str, least: int) -> dict[str, list[tuple[float, float]]]:
    """Return by tool the multiples of dbmigrate's time (clock, CPU), from so many migrations on."""
    text = README.split(f"<!-- peers, {database}: begin -->")[1].split("<!-- peers")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head, found, section = lines[0], dict[str, list[tuple[float, float]]](), ""
    for line in lines[2:]:
        section = line[0] or section
        if section == what and int(line[1].replace(",", "")) >= least:
            for name, cell in zip(head[4:], line[4:], strict=True):
                clock, cpu = map(float, cell.split("/"))
                found.setdefault(name, []).append((clock, cpu))
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_words_beside_other_tools_are_those_of_the_tables(kind: str) -> None:
    """Who measures again has to look at them again."""
    idle, back, up = (_ratios(kind, what, 100) for what in ("nothing pending", "revert", "apply"))
    first = {what: {name: found[0] for name, found in _ratios(kind, what, 1).items()} for what in ("apply", "revert")}

    assert all(cpu >= 1 / 0.4 for name in ("Alembic", "Django") for _, cpu in idle[name])
    assert all(cpu > 1 for _, cpu in idle["yoyo"])
    assert all(cpu > 1 for found in back.values() for _, cpu in found)
    assert all(clock > 1.85 for clock, _ in up["yoyo"])
    assert all(0.7 < clock < 1.3 for name in ("Alembic", "Django") for clock, _ in up[name])
    assert all(max(first[what]["Alembic"]) < 1 for what in first)
    assert max(first["apply"]["Django"]) < 1
