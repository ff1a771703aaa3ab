"""The schema on the command line: printed, compared, and locked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from dbmigrate import Migrator
from dbmigrate.cli import make_cli
from dbmigrate.schema import code, script, snapshot
from tests.terminal import Program

if TYPE_CHECKING:
    from pathlib import Path

_URL = "sqlite:///app.db"
_USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);"
_MORE = "CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT DEFAULT 'new');"


@pytest.fixture
def shop(tmp_path: Path) -> Program:
    """A project with a migration, and a schema file in its settings."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1_users.sql").write_text(_USERS)
    (tmp_path / "dbmigrate.toml").write_text(f'database = "{_URL}"\nschema_file = "shop/schema.py"\n')
    (tmp_path / "shop").mkdir()
    return Program(tmp_path)


def given(shop: Program) -> tuple[str, str]:
    """What the database gives: as Python, and as SQL."""
    engine = create_engine(f"sqlite:///{shop.folder}/app.db")
    try:
        with engine.connect() as connection:
            return code(connection), script(snapshot(connection))
    finally:
        engine.dispose()


def test_upgrade_writes_the_file_of_the_settings(shop: Program) -> None:
    """It counts from the folder of the settings; an option comes first; `config` shows it."""
    inner = Program(shop.folder / "shop")

    done = inner("upgrade", "--source", "../migrations")

    assert (done.returncode, done.stderr) == (0, "")
    assert (shop.folder / "shop" / "schema.py").read_text() == given(shop)[0]
    (shop.folder / "migrations" / "2_orders.sql").write_text(_MORE)
    assert shop("upgrade", "--schema-file", "other.sql").returncode == 0
    assert (shop.folder / "other.sql").read_text() == given(shop)[1]
    assert (shop.folder / "shop" / "schema.py").read_text() != given(shop)[0]
    rows = {row["name"]: row["value"] for row in shop.json("config")["result"]["settings"]}
    assert rows["schema_file"] == "shop/schema.py"


def test_print(shop: Program) -> None:
    """Exactly what a file would have in it, in both forms, also where `%` and escapes are in it."""
    (shop.folder / "migrations" / "2_odd.sql").write_text(
        "CREATE TABLE odd (x TEXT DEFAULT 'a%b \x1b :c postgresql://u:p@h');"
    )
    shop("upgrade")
    python, sql = given(shop)

    assert shop("schema", "print").stdout == python
    assert shop("schema", "print", "--sql").stdout == sql
    assert shop.json("schema", "print")["result"] == {"format": 1, "type": "Schema", "script": python}
    assert shop.json("schema", "print", "--sql")["result"]["script"] == sql


def test_print_what_is_wanted(shop: Program) -> None:
    """In both forms, by as many patterns as one likes."""
    for number, name in enumerate(("orders", "logs", "order_lines"), 2):
        (shop.folder / "migrations" / f"{number}_x.sql").write_text(f"CREATE TABLE {name} (x INTEGER);")
    shop("upgrade")

    python = shop("schema", "print", "--include", "o*", "--include", "users", "--exclude", "*_lines").stdout
    sql = shop("schema", "print", "--sql", "--include", "o*", "--include", "users", "--exclude", "*_lines").stdout

    assert [name for name in ("orders", "logs", "order_lines", "users") if f'"{name}"' in python] == ["orders", "users"]
    assert [name for name in ("orders", "logs", "order_lines", "users") if f"TABLE {name} " in sql] == [
        "orders",
        "users",
    ]


def test_nothing_is_wanted(shop: Program) -> None:
    """It is taken for a mistake, where something was to be included."""
    shop("upgrade")
    for words in (("print",), ("print", "--sql"), ("check",)):
        nothing = shop("schema", *words, "--include", "x*", "--include", "users", "--exclude", "use*")
        assert (nothing.returncode, nothing.stdout) == (2, "")
        assert "nothing in the database has such a place: --include x* --include users --exclude use*" in nothing.stderr
    assert shop("schema", "print", "--sql", "--exclude", "*").returncode == 0


def test_check_a_part(shop: Program) -> None:
    """By the patterns that it was printed with."""
    (shop.folder / "migrations" / "2_x.sql").write_text("CREATE TABLE logs (x INTEGER);")
    shop("upgrade")
    for name, form in (("part.py", ()), ("part.sql", ("--sql",))):
        for words in (("--include", "users"), ("--exclude", "log*", "--exclude", "nothing")):
            (shop.folder / name).write_text(shop("schema", "print", *form, *words).stdout)

            assert shop("schema", "check", name, *words).returncode == 0
            assert shop("schema", "check", name).returncode == 3
    (shop.folder / "shop" / "schema.py").write_text(shop("schema", "print", "--include", "logs").stdout)
    assert shop("schema", "check", "--include", "logs").returncode == 0


def test_print_changes_nothing(shop: Program) -> None:
    """It makes no database, and no ledger."""
    missing = shop("schema", "print")

    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no database yet" in missing.stderr
    assert not (shop.folder / "app.db").exists()
    (shop.folder / "app.db").touch()
    assert shop("schema", "print").returncode == 0
    assert (shop.folder / "app.db").stat().st_size == 0


def test_check(shop: Program) -> None:
    """0 if the file is what the database gives; otherwise 3, with the difference; the file stays as it is."""
    shop("upgrade")
    path = shop.folder / "shop" / "schema.py"

    same = shop("schema", "check")
    assert (same.returncode, same.stdout) == (0, "shop/schema.py is what the database gives\n")
    result = {
        "format": 1,
        "type": "SchemaCheck",
        "path": "shop/schema.py",
        "exists": True,
        "is_current": True,
        "diff": "",
    }
    assert shop.json("schema", "check")["result"] == result

    path.write_text(path.read_text().replace('Column("name", TEXT)', 'Column("name", TEXT, nullable=False)'))
    before = path.read_bytes()
    other = shop("schema", "check")
    assert (other.returncode, other.stderr) == (3, "")
    assert other.stdout.startswith("--- shop/schema.py\n+++ shop/schema.py (database)\n@@ ")
    assert '-    Column("name", TEXT, nullable=False),\n+    Column("name", TEXT),\n' in other.stdout
    *_, last = other.stdout.splitlines()
    again = "To write it anew: python -m dbmigrate schema print > shop/schema.py"
    assert last == f"shop/schema.py is not what the database gives. {again}"
    found = shop.json("schema", "check", code=3)
    assert (found["result"]["is_current"], found["error"]) == (False, None)
    assert found["result"]["diff"] in other.stdout
    assert path.read_bytes() == before


def test_check_a_file(shop: Program) -> None:
    """Which form it has is in its name; a missing one is as good as empty, and one that cannot be read is an error."""
    shop("upgrade")
    (shop.folder / "a.sql").write_text(given(shop)[1])
    (shop.folder / "b.sql").write_text(given(shop)[1].rstrip())
    (shop.folder / "c.py").mkdir()

    assert shop("schema", "check", "a.sql").returncode == 0
    assert "\\ No newline at end of file\n" in shop("schema", "check", "b.sql").stdout
    missing = shop("schema", "check", "missing.sql")
    assert (missing.returncode, "+CREATE TABLE users (" in missing.stdout) == (3, True)
    again = "To write it: python -m dbmigrate schema print --sql > missing.sql"
    assert missing.stdout.splitlines()[-1] == f"missing.sql does not exist. {again}"
    assert shop.json("schema", "check", "missing.sql", code=3)["result"]["exists"] is False
    part = shop("schema", "check", "a.sql", "--include", "u*", "--exclude", "x y")
    assert part.returncode == 0
    part = shop("schema", "check", "no tables.py", "--include", "u*", "--exclude", "x y")
    command = "python -m dbmigrate schema print '--include=u*' '--exclude=x y' > 'no tables.py'"
    assert part.stdout.splitlines()[-1] == f"no tables.py does not exist. To write it: {command}"
    for name, said in (("c.py", "IsADirectoryError"), ("d.txt", "ends with .py or .sql"), ("sqlite:///d.py", "a URL")):
        wrong = shop("schema", "check", name)
        assert (wrong.returncode, wrong.stdout, said in wrong.stderr) == (2, "", True)


def test_a_missing_file_is_never_what_the_database_gives(shop: Program) -> None:
    """Also where there is nothing to say."""
    (shop.folder / "app.db").touch()

    assert shop("schema", "print", "--sql").stdout == ""
    assert shop("schema", "check", "a.sql").stdout == (
        "a.sql does not exist. To write it: python -m dbmigrate schema print --sql > a.sql\n"
    )
    (shop.folder / "a.sql").touch()
    assert shop("schema", "check", "a.sql").returncode == 0


def test_locked(shop: Program) -> None:
    """The run is as without it; then the file is compared, and not written."""
    path = shop.folder / "shop" / "schema.py"
    shop("upgrade")
    committed = path.read_text()
    (shop.folder / "migrations" / "2_orders.sql").write_text(_MORE)

    late = shop("upgrade", "--locked")

    assert (late.returncode, late.stderr) == (3, "")
    assert "1 applied" in late.stdout
    assert "+orders: Table = Table(\n" in late.stdout
    assert late.stdout.endswith(". To write it anew: python -m dbmigrate schema print > shop/schema.py\n")
    assert path.read_text() == committed
    again = shop.json("upgrade", "--locked", code=3)["result"]
    assert (again["type"], again["outcomes"]) == ("Report", [])
    assert (again["schema"]["type"], again["schema"]["is_current"]) == ("SchemaCheck", False)
    path.write_text(shop("schema", "print").stdout)
    assert shop("upgrade", "--locked").returncode == 0
    assert shop.json("upgrade", "--locked")["result"]["schema"]["is_current"] is True


def test_locked_needs_a_file(shop: Program) -> None:
    """Without one, or with one that cannot be read, nothing is run; an error of the run comes first."""
    (shop.folder / "dbmigrate.toml").write_text(f'database = "{_URL}"\n')
    (shop.folder / "c.py").mkdir()

    for words in ((), ("--schema-file", "c.py")):
        wrong = shop("upgrade", "--locked", *words)
        assert (wrong.returncode, wrong.stdout) == (2, "")
    assert not (shop.folder / "app.db").exists()
    (shop.folder / "migrations" / "2_bad.sql").write_text("SELECT * FROM nowhere;")
    failed = shop("upgrade", "--locked", "--schema-file", "s.py")
    assert (failed.returncode, "no such table: nowhere" in failed.stderr) == (1, True)
    assert not (shop.folder / "s.py").exists()


def test_a_file_that_cannot_be_written(shop: Program) -> None:
    """The steps stay; it is said, with 1. Without a folder for it nothing runs: 2."""
    path = shop.folder / "shop"
    path.rmdir()
    missing = shop("upgrade")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert f"there is no folder {path} for the schema file shop/schema.py. Nothing was run" in missing.stderr
    assert not (shop.folder / "app.db").exists()
    (path / "schema.py").mkdir(parents=True)

    done = shop("upgrade")

    assert (done.returncode, "applied  1_users" in done.stdout) == (1, True)
    assert "1 step of this call is committed; then the schema file shop/schema.py could not be written" in done.stderr
    assert shop("verify").returncode == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('schema_file = "schema.txt"', "schema_file is a path that ends with .py or .sql"),
        ('schema_file = ""', "is empty"),
        ("schema_file = 5", "schema_file is a text, not int"),
    ],
)
def test_wrong_settings(text: str, said: str, shop: Program) -> None:
    """Each is an error of configuration, before anything runs."""
    (shop.folder / "dbmigrate.toml").write_text(f'database = "{_URL}"\n{text}\n')

    done = shop("upgrade")

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not (shop.folder / "app.db").exists()


def test_a_program_of_ones_own(
    shop: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the commands too, with the file of its Migrator."""
    monkeypatch.chdir(shop.folder)
    main = make_cli(lambda: Migrator(_URL, schema_file="own.sql"))

    assert main(["upgrade"]) == 0
    assert (shop.folder / "own.sql").read_text() == given(shop)[1]
    capsys.readouterr()
    assert main(["schema", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["path"] == "own.sql"
    assert main(["upgrade", "--locked"]) == 0


def test_words_are_completed(shop: Program) -> None:
    """As those of every command."""
    assert shop("completions", "words", COMP_LINE="dbmigrate schema ").stdout.split() == ["print", "check"]
    assert "--include" in shop("completions", "words", COMP_LINE="python -m dbmigrate schema print --").stdout.split()
