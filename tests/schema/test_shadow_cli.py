"""`drift`, and `validate` with --replay and --models, as commands."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from tests.terminal import Program
from tests.test_cli import put

if TYPE_CHECKING:
    from pathlib import Path

_MODELS: Final = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(sa.String(20))
"""


@pytest.fixture
def shop(tmp_path: Path) -> Program:
    """A project with two migrations, of which one does not lead back, and models."""
    put(
        tmp_path,
        v1_users_up="CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20));",
        v1_users_down="DROP TABLE users;",
    )
    (tmp_path / "shop_models.py").write_text(_MODELS)
    return Program(tmp_path, variables={"DATABASE_URL": "sqlite:///app.db"})


def _by_hand(shop: Program, sql: str) -> None:
    with closing(sqlite3.connect(shop.folder / "app.db")) as connection:
        connection.executescript(sql)


def test_drift_is_named_and_code_3(shop: Program) -> None:
    """What is different, in words and as JSON; patterns leave out what is somebody else's."""
    assert shop("upgrade").returncode == 0
    assert shop("drift").stdout == "the database is as its migrations make it\n"
    _by_hand(shop, "ALTER TABLE users ADD COLUMN age INT; CREATE TABLE theirs (x)")
    done = shop("drift")

    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == [
        "table theirs is new",
        "    column x",
        "column users.age is new",
        "    type INT",
        "2 differences between what the migrations make and what is there",
        "undo it, write a migration that makes it, or leave out what others make: --exclude",
    ]
    found = shop.json("drift", code=3)
    assert found["error"] is None
    changes = found["result"]["changes"]
    assert [(c["change"], c["name"]) for c in changes] == [("added", "theirs"), ("added", "age")]
    assert [[part["name"] for part in c["parts"]] for c in changes] == [["x"], []]
    assert shop("drift", "--exclude", "theirs", "--exclude", "user*").returncode == 0


def test_a_history_that_does_not_lead_back_is_code_3(shop: Program) -> None:
    """The migration and what is left are named; what is lost is pointed out; one without a way back is no failure."""
    assert shop("validate", "--replay").returncode == 0
    put(shop.folder, v2_two_up="CREATE TABLE a (x INT); CREATE TABLE b (x INT);", v2_two_down="DROP TABLE a;")
    put(shop.folder, v3_one_way="DROP TABLE b;")
    done = shop("validate", "--replay")

    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines()[1:] == [
        "1_users: down loses table users",
        "2_two: down loses table a, table b",
        "2_two: NOT REVERSIBLE: down left something else than there was before:",
        "    table b is new",
        "        column x: type INT",
        "3_one_way: up destroys table b with all that is in it",
        "3_one_way: has no way back",
        "3 migrations applied from zero, 1 with a way back that is none",
    ]
    replayed = shop.json("validate", "--replay", code=3)["result"]["replayed"]
    assert [done["is_reversible"] for done in replayed] == [True, False, False]
    assert not (shop.folder / "app.db").exists()


def test_models_that_differ_are_code_3(shop: Program) -> None:
    """A declarative base will do, as will its MetaData."""
    for name in ("Base", "Base.metadata"):
        assert shop("validate", "--models", f"shop_models:{name}").returncode == 0
    (shop.folder / "shop_models.py").write_text(_MODELS.replace("String(20)", "String(130)"))
    done = shop("validate", "--models", "shop_models:Base")

    assert done.returncode == 3
    assert done.stdout.splitlines()[1:] == [
        "shop_models:Base differs from what the migrations make:",
        "    column users.email:",
        "        type: VARCHAR(20) -> VARCHAR(130)",
        "1 difference between shop_models:Base and what the migrations make",
    ]
    assert len(shop.json("validate", "--models", "shop_models:Base", code=3)["result"]["models"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validate", "--models", "nowhere:x"], "No module named 'nowhere'"),
        (["validate", "--models", "shop_models:nothing"], "has no attribute 'nothing'"),
        (["validate", "--models", "shop_models:User.id"], "no MetaData, and has none"),
        (["drift", "--prepare", "none.sql"], "none.sql cannot be read"),
        (["drift", "--prepare", "wrong.sql"], "wrong.sql:2:1: this cannot be run in the shadow database"),
        (["drift", "--prepare", "open.sql"], "open.sql: line 1, column 8: the quote opened here"),
        (["drift", "--shadow-url", "sqlite:///app.db"], "was not touched: name one that does not exist"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], said: str, shop: Program) -> None:
    """Said in one line, and nothing is left behind."""
    assert shop("upgrade").returncode == 0
    (shop.folder / "wrong.sql").write_text("CREATE TABLE a (x);\nDROP TABLE nothing;\n")
    (shop.folder / "open.sql").write_text("SELECT 'a")
    done = shop(*words)

    assert done.returncode == (1 if "wrong.sql" in words else 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_prepared_is_there(shop: Program) -> None:
    """For migrations that expect what others make."""
    put(shop.folder, v2_view="CREATE TABLE more AS SELECT * FROM theirs;")
    (shop.folder / "theirs.sql").write_text("CREATE TABLE theirs (x INT);\n")
    assert shop("validate", "--replay").returncode == 1
    assert shop("validate", "--replay", "--prepare", "theirs.sql").returncode == 0
