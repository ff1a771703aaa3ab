"""Generated folders of migrations: `up` and `down` files, or single `up` files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

Layout = Literal["pairs", "single"]

LAYOUTS: Final[tuple[Layout, ...]] = ("pairs", "single")

#: What the migrations of `write_rows` need.
ROWS_TABLE: Final = "CREATE TABLE amounts (id INTEGER PRIMARY KEY, label VARCHAR(200))"

_COLUMNS: Final = """
    id INTEGER NOT NULL PRIMARY KEY,
    name VARCHAR(100) NOT NULL,
    amount INTEGER NOT NULL DEFAULT 0,
    created_at VARCHAR(32)
"""

_FIRST_VERSION: Final = 20260101000000


def write_schema(folder: Path, count: int, layout: Layout, tables: int | None = None) -> None:
    """Write a history as it grows in a project.

    Each migration makes a table and an index; every 5th also adds a column to the table before it,
    every 10th also inserts a row. Once there are as many tables as are wanted, each inserts a row.
    """
    for number in range(1, count + 1):
        if tables is not None and number > tables:
            up = [f"INSERT INTO t{tables:05} (id, name, amount) VALUES ({number}, 'number {number}', 10)"]
            down = [f"DELETE FROM t{tables:05} WHERE id = {number}"]
            _write(folder, number, f"insert_{number:05}", layout, up, down)
            continue
        table, before = f"t{number:05}", f"t{number - 1:05}"
        up = [
            f"CREATE TABLE {table} ({_COLUMNS})",
            f"CREATE INDEX {table}_name ON {table} (name)",
        ]
        down = [f"DROP TABLE {table}"]
        if number % 5 == 0:
            up.append(f"ALTER TABLE {before} ADD COLUMN extra VARCHAR(50)")
            down.append(f"ALTER TABLE {before} DROP COLUMN extra")
        if number % 10 == 0:
            up.append(f"INSERT INTO {table} (id, name, amount) VALUES (1, 'first; of all', 10)")
        _write(folder, number, f"create_{table}", layout, up, down)


def write_rows(folder: Path, count: int, layout: Layout) -> None:
    """Write migrations about as long as those of `write_schema`, which insert a row and no more.

    A database can take 10,000 of them in one transaction.
    """
    comment = "-- one row; as many characters as the making of a table and an index takes\n"
    for number in range(1, count + 1):
        up = [f"{comment * 3}INSERT INTO amounts (id, label) VALUES ({number}, 'number {number}')"]
        down = [f"DELETE FROM amounts WHERE id = {number}"]
        _write(folder, number, f"insert_{number:05}", layout, up, down)


def _write(folder: Path, number: int, name: str, layout: Layout, up: list[str], down: list[str]) -> None:
    stem = f"{_FIRST_VERSION + number}_{name}"
    suffixes = {".up.sql": up, ".down.sql": down} if layout == "pairs" else {".sql": up}
    for suffix, statements in suffixes.items():
        (folder / f"{stem}{suffix}").write_text("".join(f"{s};\n" for s in statements))
