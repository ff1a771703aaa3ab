"""Where migrations come from: folders, archives, packages and code.

Each defect of a folder has a folder named for it. Those that any checkout can hold are in `tests/migrations`; the
others (bytes that are not text, links, names that differ only in case) are built by the test, from BUILT.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.resources
import os
import pickle
import shutil
import socket
import sqlite3
import sys
import tempfile
import tracemalloc
import zipfile
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from dbmigrate import (
    ConfigurationError,
    FilesystemSource,
    MemorySource,
    MigrationError,
    Migrator,
    SourceError,
    StepStarted,
    sql_migration,
)
from dbmigrate.dialects import dialect_for
from dbmigrate.model import Migration, Step, TextBody
from dbmigrate.script import inspect
from dbmigrate.source import read_folder
from dbmigrate.survey import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dbmigrate import Event

FOLDERS = Path(__file__).parent / "migrations"
A = b"CREATE TABLE a (id INTEGER PRIMARY KEY);\n"
B = b"CREATE TABLE b (id INTEGER PRIMARY KEY);\n"


class Tree(Traversable):
    """A folder in memory, or a file: any names, in any order."""

    def __init__(self, content: bytes | Mapping[str, Any], name: str = "m") -> None:
        """Take the bytes of a file, or what is in a folder."""
        self._content, self._name = content, name

    @property
    def name(self) -> str:
        """The name without the path."""
        return self._name

    def iterdir(self) -> Iterator[Tree]:
        """Yield what is in the folder."""
        assert not isinstance(self._content, bytes)
        return (Tree(content, name) for name, content in self._content.items())

    def is_dir(self) -> bool:
        """Tell whether this is a folder."""
        return not isinstance(self._content, bytes)

    def is_file(self) -> bool:
        """Tell whether this is a file."""
        return isinstance(self._content, bytes)

    def joinpath(self, *descendants: Any) -> Tree:
        """Return something in the folder."""
        (name,) = descendants
        assert not isinstance(self._content, bytes)
        return Tree(self._content[name], name)

    def read_bytes(self) -> bytes:
        """Return what is in the file."""
        if not isinstance(self._content, bytes):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return self._content

    def read_text(self, encoding: str | None = None) -> str:
        """Return the file as text, which a source must not ask for: it would change line ends."""
        raise NotImplementedError

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """Return an open file, which a source must not ask for: it would have to be closed."""
        raise NotImplementedError


def load(node: Traversable | Mapping[str, Any]) -> Sequence[Migration]:
    """Load the migrations of anything that is like a folder."""
    return read_folder(node if isinstance(node, Traversable) else Tree(node), "m", "native")


def look_at(migration: Migration) -> None:
    """Look at a migration as a Migrator does before anything runs."""
    checked([Step(migration, "up")], dialect_for(sqlalchemy.make_url("sqlite://")), {})


def write(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write the files and folders of a tree."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in content.items():
        if isinstance(part, bytes):
            (folder / name).write_bytes(part)
        else:
            write(folder / name, part)
    return folder


def everything(migrations: Sequence[Migration]) -> list[tuple[object, ...]]:
    """Return all that is known of migrations, but not where they are."""
    return [
        (m.version, m.name, *((b.checksum, b.transaction, b.read()) if b else () for b in (m.up, m.down)))
        for m in migrations
    ]


def problems(call: Callable[[], object], folder: Path | str = "m") -> list[str]:
    """Return the problems that a call raises, without the path of the folder."""
    with pytest.raises(SourceError) as caught:
        call()
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def tables(database: Path) -> list[str]:
    """Return the tables that migrations made in a database of SQLite."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'dbmigrate%'")
        return [name for (name,) in rows]


# What is read


def test_every_form_in_one_folder() -> None:
    """Pairs, single files and Diesel's directories may be mixed, and are ordered by their versions as integers."""
    migrations = FilesystemSource(FOLDERS / "every_form").load()

    assert [(m.version, m.name, m.down is not None) for m in migrations] == [
        ("1", "accounts", True),
        ("02", "email", False),
        ("10", "vacuum", False),
        ("11", "folder.sql", False),
        ("12", "a name with spaces", True),
        ("13", "irreversible", True),
        ("20230508210424", "orders", True),
    ]


def test_scripts_are_what_the_files_say() -> None:
    """Up and down script, and what metadata.toml says of both, come through."""
    migrations = {m.name: m for m in FilesystemSource(FOLDERS / "every_form").load()}
    orders, vacuum, email = migrations["orders"], migrations["vacuum"], migrations["email"]
    assert orders.down is not None

    assert orders.up.read() == "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"
    assert orders.down.read() == "DROP TABLE orders;\n"
    assert (orders.up.transaction, orders.down.transaction) == (True, True)
    assert (vacuum.up.transaction, email.up.transaction) == (False, True)
    assert email.up.origin == f"{FOLDERS}/every_form/02_email.sql"


def test_a_down_script_may_be_blank(tmp_path: Path) -> None:
    """A down script of zero bytes, or of comments only, makes a migration reversible with nothing to do."""
    files = {
        "1_a.up.sql": A,
        "1_a.down.sql": b"",
        "2_b": {"up.sql": B, "down.sql": b"-- nothing to undo\n"},
    }
    migrator = Migrator(f"sqlite:///{tmp_path}/app.db", write(tmp_path / "m", files))
    migrator.upgrade()

    assert [str(o.step) for o in migrator.downgrade(to="base").outcomes] == ["2_b down", "1_a down"]


@pytest.mark.parametrize(
    ("name", "version", "title"),
    [
        ("1_a.sql", "1", "a"),
        ("0001_create_users.sql", "0001", "create_users"),
        ("1_000_bar.sql", "1", "000_bar"),
        ("008_Foo_Bar-baz.qux.sql", "008", "Foo_Bar-baz.qux"),
        ("15_multi__under_.up.sql", "15", "multi__under_"),
        ("2026-11-23-101500_x.sql", "20261123101500", "x"),
        ("0_zero.sql", "0", "zero"),
        ("1_été 数据.sql", "1", "été 数据"),
        ("9" * 250 + "_a.sql", "9" * 250, "a"),
        ("1_" + "a" * 255 + ".sql", "1", "a" * 255),
        ("1_x.sql/", "1", "x.sql"),
        ("00000000000000_diesel_initial_setup/", "00000000000000", "diesel_initial_setup"),
        ("2023-05-08-210424_without_transaction/", "20230508210424", "without_transaction"),
        ("2026-06-12-111710-0000_add_color_enum/", "202606121117100000", "add_color_enum"),
        ("2020-01-25-033332_add unsigned table/", "20200125033332", "add unsigned table"),
    ],
)
def test_names_that_are_migrations(name: str, version: str, title: str) -> None:
    """A version is digits, with dashes as Diesel writes them, and a name is anything that can be printed."""
    files: dict[str, Any] = {name[:-1]: {"up.sql": A}} if name.endswith("/") else {name: A}

    assert [(version, title)] == [(m.version, m.name) for m in load(files)]


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "notes.txt",
        "__init__.py",
        "helpers.py",
        ".keep",
        ".gitattributes",
        ".diesel_lock",
        ".DS_Store",
        "Icon\r",
        "1_a.sql~",
        ".#1_a.sql",
        "#1_a.sql#",
        ".1_a.sql.swp",
        "1_a.sql.orig",
        "1_a.sql.rej",
        "1_a.sql.bak",
        ".1_a.sql",
        "..",
    ],
)
def test_files_that_are_passed_over(name: str) -> None:
    """Dot files, editor backups, and files that look nothing like a migration are not ours to judge."""
    assert load({name: A}) == []


@pytest.mark.parametrize(
    "content",
    [
        {"1_empty": {}},
        {"1_kept": {".keep": b""}},
        {"1_left_by_an_editor": {"up.sql~": A}},
        {"__pycache__": {"x.pyc": b"\0"}},
        {"seeds": {"users.sql": A}},
        {".git": {"up.sql": A}},
    ],
    ids=lambda content: next(iter(content)),
)
def test_folders_that_are_passed_over(content: dict[str, Any]) -> None:
    """Empty folders, hidden ones, and those that look nothing like a migration are not ours to judge."""
    assert load(content) == []


_NAME = "not a migration by its name: call it <digits>_<name>.sql, or move it elsewhere"
_SUFFIX = "not a migration by its suffix, .up.sql, .down.sql, .sql or .py: rename it, or move it elsewhere"
_UNPRINTABLE = "the name must have 1 to 255 printable characters: rename it"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("_a.sql", f"_a.sql: {_NAME}"),
        ("-1_a.sql", f"-1_a.sql: {_NAME}"),
        ("+7_plus.sql", f"+7_plus.sql: {_NAME}"),
        ("v1_a.sql", f"v1_a.sql: {_NAME}"),
        ("1_.sql", f"1_.sql: {_NAME}"),
        ("1_.up.sql", f"1_.up.sql: {_NAME}"),
        ("1-a.sql", f"1-a.sql: {_NAME}"),
        ("\N{ARABIC-INDIC DIGIT ONE}_a.sql", f"\N{ARABIC-INDIC DIGIT ONE}_a.sql: {_NAME}"),
        ("seed.sql", f"seed.sql: {_NAME}"),
        ("up.sql", f"up.sql: {_NAME}"),
        ("9" * 5000 + "_a.sql", f"{'9' * 5000}_a.sql: {_NAME}"),
        ("1_a.Sql", "1_a.Sql: write the suffix in lower case: .sql"),
        ("1_a.Up.sql", "1_a.Up.sql: write the suffix in lower case: .up.sql"),
        ("1_a", f"1_a: {_SUFFIX}"),
        ("1_a.sql.txt", f"1_a.sql.txt: {_SUFFIX}"),
        ("1_a.up.sql.sql", "1_a.up.sql.sql: two suffixes: leave one of them out"),
        ("1_" + "a" * 256 + ".sql", f"1_{'a' * 256}.sql: {_UNPRINTABLE}"),
        ("1_a\nb.sql", f"1_a\\nb.sql: {_UNPRINTABLE}"),
        ("1_a\x1b[2Jb.sql", f"1_a\\x1b[2Jb.sql: {_UNPRINTABLE}"),
        ("1_a\u202eb.sql", f"1_a\\u202eb.sql: {_UNPRINTABLE}"),
        ("1_a\udcffb.sql", f"1_a\\udcffb.sql: {_UNPRINTABLE}"),
        ("a\nb.sql", f"a\\nb.sql: {_NAME}"),
    ],
)
def test_names_that_are_refused(name: str, problem: str) -> None:
    """What looks like a migration and is not one is refused, with its name on one line and without control codes."""
    assert [problem] == problems(lambda: load({name: A}))


def test_crlf_and_byte_order_mark_do_not_change_the_checksum(tmp_path: Path) -> None:
    """A byte order mark is dropped, line ends are sent as written, and neither changes the checksum."""
    lf, crlf = b"CREATE TABLE a (\n  id INTEGER);\n", b"\xef\xbb\xbfCREATE TABLE a (\r\n  id INTEGER);\r\n"
    first, second = FilesystemSource(write(tmp_path, {"1_a.sql": lf, "2_b.sql": crlf})).load()

    assert first.up.checksum == second.up.checksum
    assert second.up.read() == "CREATE TABLE a (\r\n  id INTEGER);\r\n"


def test_metadata_may_have_crlf_and_byte_order_mark() -> None:
    """metadata.toml is read as scripts are; keys that are not ours are left alone, as Diesel does."""
    metadata = b"\xef\xbb\xbf# Diesel's\r\nrun_in_transaction = false\r\nother = 1\r\n"

    assert [m.up.transaction for m in load({"1_a": {"up.sql": A, "metadata.toml": metadata}})] == [False]


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("-- dbmigrate: no-transaction", (True, False)),
        ("-- no-transaction", (True, False)),
        ("-- dbmigrate: foreign-keys=off", (False, True)),
        ("-- an ordinary comment", (False, False)),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_directives_come_through(tmp_path: Path, directive: str, expected: tuple[bool, bool], mark: str) -> None:
    """A directive at the head of a file is seen, also behind a byte order mark."""
    content = f"{mark}{directive}\r\nDELETE FROM a;\r\n".encode()
    (migration,) = FilesystemSource(write(tmp_path, {"1_a.sql": content})).load()
    dialect = dialect_for(make_url("sqlite://"))
    script = inspect(migration.up.read(), dialect.grammar, dialect.traits, origin=migration.up.origin)

    assert expected == (script.no_transaction, script.foreign_keys_off)
    assert script.problems == ()


# What is refused


def link(name: str, target: str, *, folder: bool = False) -> Callable[[Path], None]:
    """Return a builder of a symbolic link."""
    return lambda path: (path / name).symlink_to(target, target_is_directory=folder)


def unreadable(path: Path) -> None:
    """Build a file and a folder that may not be read."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    write(path, {"1_a.sql": A, "2_b": {"up.sql": B}, "lost+found": {}})
    for name in ("1_a.sql", "2_b", "lost+found"):
        (path / name).chmod(0)


def sockets(path: Path) -> None:
    """Build a socket."""
    here = Path.cwd()
    os.chdir(path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("1_a.sql")
    os.chdir(here)


_OUT = "a symbolic link must stay inside the folder of migrations: put the file itself here"
_NOTHING = "a symbolic link to nothing that can be read: put the file itself here"
_BLANK = "there is no statement in it: write one, or delete the file"
_STRAY = "a migration's folder has up.sql, down.sql, metadata.toml: rename it, or move it elsewhere"
_CASE = "Rename one of them; they differ only in case, and some file systems take them for one"

#: Folders that not every checkout could hold: what is in them, or how to make them.
BUILT: dict[str, Mapping[str, Any] | Callable[[Path], object]] = {
    "utf_16": {"1_a.sql": A.decode().encode("utf-16")},
    "utf_16_without_mark": {"1_a.sql": A.decode().encode("utf-16-be")},
    "wrong_encoding": {"1_a.sql": b"-- caf\xe9\n" + A},
    "nul_byte": {"1_a.sql": A + b"\0"},
    "bare_cr": {"1_a.sql": A + b"-- x\rDROP TABLE a;\n"},
    "python_without_upgrade": {"1_a.py": b"def update(connection): ...\n"},
    "python_that_is_async": {"1_a.py": b"async def upgrade(connection): ...\n"},
    "python_with_a_syntax_error": {"1_a.py": b"def upgrade(connection)\n    pass\n"},
    "python_beside_sql": {"1_a.py": b"def upgrade(connection): ...\n", "1_a.sql": A},
    "case_clash": {"1_a.sql": A, "1_A.sql": B},
    "case_clash_of_directories": {"1_a": {"up.sql": A}, "1_A": {"up.sql": A}},
    "case_clash_in_directory": {"1_a": {"up.sql": A, "Up.sql": B}},
    "undecodable_name": {"1_\udcff.sql": A},
    "line_end_in_name": {"1_a\n2_b.sql": A},
    "folder_for_a_script": {"1_a": {"up.sql": {}}},
    "metadata_in_utf_16": {"1_a": {"up.sql": A, "metadata.toml": "a = 1".encode("utf-16")}},
    "missing_folder": lambda _: None,
    "file_for_a_folder": lambda path: path.write_bytes(A),
    "symlink_out": lambda path: link("1_a.sql", "../outside.sql")(write(path, {})),
    "directory_symlink_out": lambda path: link("1_a", "../outside", folder=True)(write(path, {})),
    "symlink_out_in_directory": lambda path: link("up.sql", "../../outside.sql")(write(path / "1_a", {})),
    "symlink_to_nothing": lambda path: link("1_a.sql", "nothing")(write(path, {})),
    "symlink_without_suffix": lambda path: link("1_a", "nothing")(write(path, {})),
    "symlink_to_itself": lambda path: link("1_a.sql", "1_a.sql")(write(path, {})),
    "symlink_to_its_folder": lambda path: link("1_a", ".", folder=True)(write(path, {"2_b.sql": B})),
    "named_pipe": lambda path: os.mkfifo(write(path, {}) / "1_a.sql"),
    "named_pipe_in_directory": lambda path: os.mkfifo(write(path / "1_a", {}) / "up.sql"),
    "socket": lambda path: sockets(write(path, {})),
    "unreadable": unreadable,
}

#: Every defect, and what is said of it; of folders that are not in BUILT see `tests/migrations`.
DEFECTS = {
    "duplicate_versions": ["01_b.sql: version 1 is there twice: '01_b.sql' and '1_a.sql'. Rename one of them"],
    "duplicate_version_with_dashes": [
        "2026-11_a.sql: version 202611 is there twice: '2026-11_a.sql' and '202611_b.sql'. Rename one of them"
    ],
    "duplicate_version_of_directory_and_file": [
        "1_a: version 1 is there twice: '1_a' and '1_b.sql'. Rename one of them"
    ],
    "duplicate_version_of_pair_and_file": [
        "1_a.down.sql: version 1 is there twice: '1_a.down.sql' and '1_a.up.sql' and '1_b.sql'. Rename one of them"
    ],
    "single_file_beside_down_file": [
        "1_a.down.sql: '1_a.down.sql' and '1_a.sql' are no pair: give the up script the suffix .up.sql"
    ],
    "pair_with_two_names": [
        "1_a.up.sql: up and down script have different names: '1_a.up.sql' and '1_b.down.sql'. Rename one of them"
    ],
    "pair_with_two_spellings_of_its_version": [
        "01_a.down.sql: up and down script have different names: '01_a.down.sql' and '1_a.up.sql'. Rename one of them"
    ],
    "orphan_down_file": ["1_a.down.sql: a down script without its up script: add the .up.sql, or delete it"],
    "directory_without_up": ["1_a: there is no up.sql in it: add one, or delete the folder"],
    "directory_without_version": [
        "add_users: not a migration by its name: call it <digits>_<name>, or move it elsewhere"
    ],
    "up_of_comments_only": [f"1_a.sql: {_BLANK}"],
    "up_of_zero_bytes": [f"1_a.sql: {_BLANK}"],
    "no_version": [f"add_users.sql: {_NAME}"],
    "no_name": [f"1.sql: {_NAME}", f"2_.sql: {_NAME}"],
    "suffix_in_upper_case": [
        "1_a.up.SQL: write the suffix in lower case: .up.sql",
        "2_b.UP.sql: write the suffix in lower case: .up.sql",
    ],
    "unknown_suffix": [f"1_a.txt: {_SUFFIX}"],
    "two_suffixes": [
        "1_a.sql.sql: two suffixes: leave one of them out",
        "2_b.up.up.sql: two suffixes: leave one of them out",
    ],
    "stray_file_in_directory": [f"1_a/up2.sql: {_STRAY}"],
    "upper_case_file_in_directory": [
        "1_a: there is no up.sql in it: add one, or delete the folder",
        "1_a/UP.sql: differs from 'up.sql' only in case: rename it, or delete it",
    ],
    "metadata_without_its_key": [
        "1_a/metadata.toml: say run_in_transaction = true or false, or delete the file",
    ],
    "metadata_not_a_boolean": [
        "1_a/metadata.toml: say run_in_transaction = true or false, or delete the file",
    ],
    "metadata_not_toml": ["1_a/metadata.toml: not TOML: Invalid value (at line 1, column 22)"],
    "utf_16": ["1_a.sql: the file is UTF-16: save it as UTF-8"],
    "utf_16_without_mark": ["1_a.sql: NUL byte in line 1: save the file as UTF-8 text"],
    "wrong_encoding": ["1_a.sql: not UTF-8 in line 1 (byte 0xe9): save the file as UTF-8"],
    "nul_byte": ["1_a.sql: NUL byte in line 2: save the file as UTF-8 text"],
    "bare_cr": ["1_a.sql: carriage return without line feed in line 2: use LF or CRLF line ends"],
    "python_without_upgrade": ["1_a.py: there is no def upgrade(connection) in it"],
    "python_that_is_async": [
        "1_a.py:1: upgrade must be a plain function, not async: it is called with a Connection",
    ],
    "python_with_a_syntax_error": ["1_a.py:1: not Python: expected ':'"],
    "python_beside_sql": ["1_a.py: version 1 is there twice: '1_a.py' and '1_a.sql'. Rename one of them"],
    "case_clash": [f"1_A.sql: version 1 is there twice: '1_A.sql' and '1_a.sql'. {_CASE}"],
    "case_clash_of_directories": [f"1_A: version 1 is there twice: '1_A' and '1_a'. {_CASE}"],
    "case_clash_in_directory": ["1_a/Up.sql: differs from 'up.sql' only in case: rename it, or delete it"],
    "undecodable_name": [f"1_\\udcff.sql: {_UNPRINTABLE}"],
    "line_end_in_name": [f"1_a\\n2_b.sql: {_UNPRINTABLE}"],
    "folder_for_a_script": ["1_a/up.sql: cannot be read: Is a directory"],
    "metadata_in_utf_16": ["1_a/metadata.toml: the file is UTF-16: save it as UTF-8"],
    "missing_folder": [": there is no such folder: create it, or name the right one"],
    "file_for_a_folder": [": this is a file, not a folder of migrations"],
    "symlink_out": [f"1_a.sql: {_OUT}"],
    "directory_symlink_out": [f"1_a: {_OUT}"],
    "symlink_out_in_directory": [f"1_a/up.sql: {_OUT}"],
    "symlink_to_nothing": [f"1_a.sql: {_NOTHING}"],
    "symlink_without_suffix": [f"1_a: {_NOTHING}"],
    "symlink_to_itself": [f"1_a.sql: {_NOTHING}"],
    "symlink_to_its_folder": [f"1_a: {_OUT}"],
    "named_pipe": ["1_a.sql: neither a file nor a folder: delete it"],
    "named_pipe_in_directory": ["1_a/up.sql: neither a file nor a folder: delete it"],
    "socket": ["1_a.sql: neither a file nor a folder: delete it"],
    "unreadable": ["1_a.sql: cannot be read: Permission denied", "2_b: cannot be read: Permission denied"],
}


def build(defect: str, path: Path) -> Path:
    """Build the folder of a defect, or skip the test where the file system cannot hold it."""
    made = BUILT[defect]
    write(path.parent, {"outside.sql": A, "outside": {"up.sql": A}})
    if callable(made):
        made(path)
        return path
    try:
        write(path, made)
    except OSError:
        pytest.skip("this file system cannot hold it")
    if len(os.listdir(path)) != len(made):  # noqa: PTH208
        pytest.skip("this file system takes upper and lower case for one")
    return path


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_refused_before_anything_is_written(defect: str, tmp_path: Path) -> None:
    """The folder's name says what is wrong with it; a SourceError says what to do, and no database file is made."""
    folder = build(defect, tmp_path / "m") if defect in BUILT else FOLDERS / defect
    migrator = Migrator(f"sqlite:///{tmp_path}/app.db", folder)

    assert DEFECTS[defect] == [p.removeprefix(str(folder)) for p in problems(migrator.upgrade, folder)]
    assert not (tmp_path / "app.db").exists()


def test_every_folder_is_tested() -> None:
    """No folder of a defect is forgotten."""
    folders = {folder.name for folder in FOLDERS.iterdir() if folder.is_dir()}

    assert folders == DEFECTS.keys() - BUILT.keys() | {"every_form"}


def test_all_problems_are_reported_together() -> None:
    """What is wrong with names, versions, pairs, bytes and folders is said at once, also of the same file."""
    files: dict[str, Any] = {
        "1_a.sql": "é".encode("utf-16"),
        "01_b.sql": b"\0",
        "2_orphan.down.sql": b"-- \xff",
        "3_c": {"down.sql": b"a\rb", "metadata.toml": b"", "more.sql": b""},
        "3_c.sql": b"",
        "4_d.up.sql.sql": b"",
        "5_e\n.sql": A,
        "5_f\n.down.sql": b"",
        "6_f.SQL": A,
        "README.md": b"\0",
    }

    assert [
        "01_b.sql: NUL byte in line 1: save the file as UTF-8 text",
        "01_b.sql: version 1 is there twice: '01_b.sql' and '1_a.sql'. Rename one of them",
        "1_a.sql: the file is UTF-16: save it as UTF-8",
        "2_orphan.down.sql: not UTF-8 in line 1 (byte 0xff): save the file as UTF-8",
        "2_orphan.down.sql: a down script without its up script: add the .up.sql, or delete it",
        "3_c: there is no up.sql in it: add one, or delete the folder",
        "3_c: version 3 is there twice: '3_c' and '3_c.sql'. Rename one of them",
        "3_c.sql: there is no statement in it: write one, or delete the file",
        "3_c/down.sql: carriage return without line feed in line 1: use LF or CRLF line ends",
        "3_c/metadata.toml: say run_in_transaction = true or false, or delete the file",
        f"3_c/more.sql: {_STRAY}",
        "4_d.up.sql.sql: two suffixes: leave one of them out",
        "4_d.up.sql.sql: there is no statement in it: write one, or delete the file",
        f"5_e\\n.sql: {_UNPRINTABLE}",
        "5_e\\n.sql: '5_e\\n.sql' and '5_f\\n.down.sql' are no pair: give the up script the suffix .up.sql",
        f"5_f\\n.down.sql: {_UNPRINTABLE}",
        "6_f.SQL: write the suffix in lower case: .sql",
    ] == problems(lambda: load(files))


def test_a_folder_that_cannot_be_listed_is_a_problem_if_it_is_ours() -> None:
    """A migration's folder that cannot be listed is refused; lost+found is not ours to judge."""

    class Locked(dict[str, Any]):
        def items(self) -> Any:
            raise PermissionError(errno.EACCES, "Permission denied")

    assert problems(lambda: load({"1_a": Locked(), "lost+found": Locked()})) == [
        "1_a: cannot be read: Permission denied"
    ]


def test_metadata_that_nests_without_end_is_not_toml() -> None:
    """What makes the parser give up is a problem of the file, and no other error."""
    (problem,) = problems(lambda: load({"1_a": {"up.sql": A, "metadata.toml": b"a = " + b"[" * 99_999}}))

    assert problem.startswith("1_a/metadata.toml: not TOML: ")


def test_an_unknown_layout_is_a_wrong_configuration() -> None:
    """A layout is chosen by a name that there is."""
    with pytest.raises(ConfigurationError, match="there is no layout 'flyway'; there is: native"):
        FilesystemSource(FOLDERS / "every_form", layout="flyway").load()


def test_a_hostile_path_is_an_ordinary_problem(tmp_path: Path) -> None:
    """A path that no system can open is refused as a folder that is not there is, on one line."""
    assert [f"{tmp_path}/a\\nb: there is no such folder: create it, or name the right one"] == problems(
        FilesystemSource(tmp_path / "a\nb").load
    )
    assert problems(FilesystemSource("a\0b").load) == ["a\\x00b: cannot be read: embedded null byte"]


# Links and places


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    """The folder itself may be a link, and files and folders in it may be links to others in it."""
    folder = write(tmp_path / "m", {"1_a.sql": A, "2_b": {"up.sql": B}})
    (folder / "3_c.sql").symlink_to("1_a.sql")
    (folder / "4_d").symlink_to("2_b", target_is_directory=True)
    (folder / "README.md").symlink_to("../nothing")
    (folder / "seeds").symlink_to("..", target_is_directory=True)
    (tmp_path / "link").symlink_to("m", target_is_directory=True)

    assert [str(m) for m in FilesystemSource(tmp_path / "link").load()] == ["1_a", "2_b", "3_c", "4_d"]


def test_a_pipe_that_is_no_migration_does_not_hang(tmp_path: Path) -> None:
    """A named pipe with a name of its own is passed over, and one that takes a file's place later is refused."""
    folder = write(tmp_path / "m", {"1_a.sql": A})
    os.mkfifo(folder / "pipe")
    (migration,) = FilesystemSource(folder).load()
    (folder / "1_a.sql").unlink()
    os.mkfifo(folder / "1_a.sql")

    assert problems(lambda: look_at(migration), folder) == ["1_a.sql: the file changed while it was in use: call again"]


def test_a_relative_path_counts_from_the_moment_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded can still be read when the working directory is another one."""
    write(tmp_path / "here" / "migrations", {"1_a.sql": A, "2_b": {"up.sql": B}})
    write(tmp_path / "there", {})
    source = FilesystemSource()
    monkeypatch.chdir(tmp_path / "here")
    first, second = source.load()
    monkeypatch.chdir(tmp_path / "there")

    assert (A.decode(), B.decode()) == (first.up.read(), second.up.read())
    assert (first.up.origin, second.up.origin) == ("migrations/1_a.sql", "migrations/2_b/up.sql")
    assert problems(source.load) == ["migrations: there is no such folder: create it, or name the right one"]


def test_directory_archive_and_package_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, a zip file and an importable package give the same migrations, names, order and checksums."""
    expected = everything(FilesystemSource(FOLDERS / "every_form").load())
    shutil.copytree(FOLDERS / "every_form", tmp_path / "shop_on_disk" / "m")
    (tmp_path / "shop_on_disk" / "__init__.py").touch()
    with zipfile.ZipFile(tmp_path / "packages.zip", "w") as archive:
        archive.writestr("shop_in_zip/__init__.py", "")
        for file in sorted((FOLDERS / "every_form").rglob("*"), reverse=True):
            archive.write(file, f"shop_in_zip/m/{file.relative_to(FOLDERS / 'every_form')}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "packages.zip")
    with zipfile.ZipFile(tmp_path / "packages.zip") as archive:
        nodes: list[Traversable] = [
            FOLDERS / "every_form",
            zipfile.Path(archive, "shop_in_zip/m/"),
            importlib.resources.files("shop_on_disk") / "m",
            importlib.resources.files("shop_in_zip") / "m",
        ]
        for node in nodes:
            assert expected == everything(load(node))
    for name in ("shop_on_disk", "shop_in_zip"):
        sys.modules.pop(name)


def test_an_archive_may_lack_the_folder_or_be_broken(tmp_path: Path) -> None:
    """A folder that is not in an archive, and a member that does not decompress, are problems like others."""
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("m/1_a.sql", A)
    data = (tmp_path / "m.zip").read_bytes()
    (tmp_path / "m.zip").write_bytes(data.replace(A, B))  # its CRC-32 is that of A
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        root = zipfile.Path(archive)

        reason = f"cannot be read: Bad CRC-32 for file 'm/1_a.sql' (in {archive.filename})"
        assert problems(lambda: load(root / "m")) == [f"1_a.sql: {reason}"]
        assert problems(lambda: load(root / "n")) == ["m: there is no such folder: create it, or name the right one"]


# Laziness


def test_a_change_between_reading_and_running_is_noticed(tmp_path: Path) -> None:
    """A script that is no longer what was loaded is not run; line ends and byte order mark are no change."""
    folder = write(tmp_path, {"1_a.sql": A, "2_b": {"up.sql": B}})
    first, second = FilesystemSource(folder).load()
    write(folder, {"1_a.sql": b"DROP TABLE users;\n", "2_b": {"up.sql": b"\xef\xbb\xbf" + B.replace(b"\n", b"\r\n")}})

    assert problems(lambda: look_at(first), folder) == ["1_a.sql: the file changed while it was in use: call again"]
    look_at(second)
    assert second.up.read() == B.decode().replace("\n", "\r\n")

    (folder / "1_a.sql").unlink()

    assert problems(first.up.read, folder) == ["1_a.sql: cannot be read: No such file or directory"]


def test_a_change_after_planning_stops_the_plan(tmp_path: Path) -> None:
    """A plan whose file changed is refused before anything runs."""
    folder = write(tmp_path / "m", {"1_a.sql": A, "2_b.sql": B})
    migrator = Migrator(f"sqlite:///{tmp_path}/app.db", folder)
    plan = migrator.plan()
    write(folder, {"2_b.sql": A})

    assert problems(lambda: migrator.apply(plan), folder) == [
        "2_b.sql: the file changed while it was in use: call again"
    ]
    assert tables(tmp_path / "app.db") == []


def test_a_change_while_running_stops_the_run(tmp_path: Path) -> None:
    """A file that changes after all scripts were checked does not run; what ran before it stays."""
    folder = write(tmp_path / "m", {"1_a.sql": A, "2_b.sql": B})

    def change(event: Event) -> None:
        if isinstance(event, StepStarted):
            write(folder, {"2_b.sql": b"CREATE TABLE c (id INTEGER);\n"})

    migrator = Migrator(f"sqlite:///{tmp_path}/app.db", folder, on_event=change)
    with pytest.raises(MigrationError, match="the file changed while it was in use"):
        migrator.upgrade()

    assert tables(tmp_path / "app.db") == ["a"]


def test_memory_is_bounded_by_the_largest_file(tmp_path: Path) -> None:
    """Loading many files takes the memory of one, and keeps the text of none."""
    size = 1 << 18
    row = b"INSERT INTO a VALUES ('text that is not so short');\n"
    files = {f"{i}_rows.sql": row * (size // len(row)) for i in range(40)}
    source = FilesystemSource(write(tmp_path, files))
    source.load()  # imports are done once
    tracemalloc.start()
    try:
        migrations = source.load()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(migrations) == len(files)
    assert peak < 5 * size
    assert kept < size


# In memory


def test_memory_source_gives_what_it_was_given() -> None:
    """Migrations built in code come in the order given, whatever their versions look like, and as often as asked."""
    migrations = [sql_migration("b", "two", "SELECT 1"), sql_migration("a", "one", "SELECT 2", "SELECT 3")]
    source = MemorySource(iter(migrations))

    assert migrations == list(source.load()) == list(source.load())
    assert [m.up.read() for m in source.load()] == ["SELECT 1", "SELECT 2"]


def test_memory_and_file_have_the_same_checksum() -> None:
    """A migration may move from a file into code, byte order mark and all, and is not edited by that."""
    content = "\ufeffCREATE TABLE é (\r\n  id INTEGER);\r\n"
    (from_file,) = load({"1_a.sql": content.encode()})
    from_code = sql_migration("1", "a", content)

    assert (from_file.up.checksum, from_file.up.read()) == (from_code.up.checksum, from_code.up.read())


def test_memory_source_reports_all_problems_together() -> None:
    """Duplicate versions, blank scripts, text that cannot be sent and bodies that cannot be read are said at once."""
    source = MemorySource(
        [
            sql_migration("1", "a", "SELECT 1", "-- nothing"),
            sql_migration("1", "b", "-- nothing"),
            sql_migration("2", "c", "SELECT '\0'", "SELECT '\ud800'"),
            sql_migration("", "d", "SELECT 1"),
            sql_migration("3", "e\n", "SELECT 1"),
            sql_migration("4" * 256, "f", "SELECT 1"),
        ]
    )

    assert [
        "1_b.up: there is no statement in it",
        "2_c.up: NUL byte in line 1: save the file as UTF-8 text",
        "2_c.down: not UTF-8 in line 1 (byte 0xed): save the file as UTF-8",
        "1_b.up: version 1 is there twice: 1_a and 1_b. Change it",
        "_d.up: the version must have 1 to 255 printable characters: rename it",
        f"3_e\n.up: {_UNPRINTABLE}",
        f"{'4' * 256}_f.up: the version must have 1 to 255 printable characters: rename it",
    ] == problems(source.load)


def test_memory_source_may_hold_migrations_of_other_sources(tmp_path: Path) -> None:
    """Folders can be put together in code; what one of their bodies raises is reported with the rest."""
    write(tmp_path / "m", {"1_a.sql": A})
    (a,) = FilesystemSource(tmp_path / "m").load()
    source = MemorySource([a, sql_migration("2", "b", "SELECT 1")])

    assert [str(m) for m in source.load()] == ["1_a", "2_b"]

    (tmp_path / "m" / "1_a.sql").unlink()

    assert problems(source.load, tmp_path / "m") == ["1_a.sql: cannot be read: No such file or directory"]


def test_the_same_migration_twice_is_a_duplicate() -> None:
    """A migration that was listed twice by mistake is found."""
    a = sql_migration("1", "a", "SELECT 1")

    assert problems(MemorySource([a, a]).load) == ["1_a.up: version 1 is there twice: 1_a and 1_a. Change it"]


def test_sources_and_what_they_give_can_be_pickled(tmp_path: Path) -> None:
    """Sources travel to other processes, and migrations with them: errors carry reports, and reports migrations."""
    folder = FilesystemSource(write(tmp_path, {"1_a.sql": A, "2_b": {"up.sql": B, "down.sql": B}}))
    memory = MemorySource([sql_migration("1", "a", "SELECT 1", "SELECT 2")])
    for source in (folder, memory):
        again, loaded = pickle.loads(pickle.dumps((source, source.load())))  # noqa: S301 - our own

        assert everything(source.load()) == everything(again.load()) == everything(loaded)


# Properties

_PARTS = st.sampled_from(
    [
        *"01_-. ~#ab",
        "é",
        "ß",
        "SS",
        "\n",
        "\udcff",
        "٣",
        ".sql",
        ".up",
        ".down",
        ".SQL",
        ".py",
        "2_a",
        "up.sql",
        "9" * 99,
    ]
)
_NAMES = st.lists(_PARTS, min_size=1, max_size=6).map("".join).filter(lambda name: name not in {".", ".."})
_BYTES = st.sampled_from([A, B, b"", b"-- x\n", b"\0", b"a\rb", b"\xff\xfe", b"run_in_transaction = true\n"])
_FOLDERS = st.dictionaries(
    st.one_of(_NAMES, st.sampled_from(["up.sql", "down.sql", "metadata.toml"])), _BYTES, max_size=4
)
_TREES = st.dictionaries(_NAMES, st.one_of(_BYTES, _FOLDERS), max_size=8)


def outcome(call: Callable[[], Sequence[Migration]]) -> list[Any]:
    """Return what a call loads, or what it says is wrong; anything else is an error."""
    try:
        return everything(call())
    except SourceError as error:
        return list(error.problems)


@settings(deadline=None)
@given(_TREES, st.randoms(use_true_random=False))
def test_order_of_the_directory_does_not_matter(files: dict[str, Any], random: Any) -> None:
    """Any set of names loads or raises SourceError, and does the same in whatever order they are listed."""
    names = list(files)
    random.shuffle(names)

    assert outcome(lambda: load(files)) == outcome(lambda: load({name: files[name] for name in names}))


@settings(max_examples=50, deadline=None)
@given(_TREES)
def test_a_directory_is_read_as_any_other_folder(files: dict[str, Any]) -> None:
    """What a real directory gives, and what is wrong with it, is what a folder in memory gives."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "m"
        try:
            write(folder, files)
        except OSError:
            return  # a file system that cannot hold the names
        if sorted(os.listdir(folder)) != sorted(files):  # noqa: PTH208
            return  # a file system that changes names
        found = [str(x).replace(str(folder), "m") for x in outcome(FilesystemSource(folder).load)]

    assert [str(x) for x in outcome(lambda: load(files))] == found


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 10**40), st.integers(0, 3), max_size=20))
def test_versions_are_ordered_as_integers(versions: dict[int, int]) -> None:
    """Leading zeros do not matter to the order, and stay in the version."""
    spelled = {version: "0" * zeros + str(version) for version, zeros in versions.items()}

    assert [spelled[version] for version in sorted(versions)] == [
        m.version for m in load({f"{version}_x.sql": A for version in spelled.values()})
    ]


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_what_is_written_is_what_is_read(content: str, mark: bool) -> None:
    """Text comes back character by character, line ends included, or is refused; from memory as from a file."""
    script = f"SELECT 1;{content}"
    files = {"1_a.sql": (b"\xef\xbb\xbf" if mark else b"") + script.encode()}
    from_file = outcome(lambda: [Migration("1", "a", m.up) for m in load(files)])
    from_code = outcome(MemorySource([sql_migration("1", "a", script)]).load)
    is_sendable = "\0" not in script and "\r" not in script.replace("\r\n", "")

    assert is_sendable == (from_file == from_code)
    if is_sendable:
        assert script == from_file[0][2][2]


@settings(deadline=None)
@given(
    st.text(st.characters()), st.text(st.characters()), st.text(st.characters()), st.none() | st.text(st.characters())
)
def test_any_text_in_memory_loads_or_is_refused(version: str, name: str, up: str, down: str | None) -> None:
    """Versions, names and scripts of any characters, also such as UTF-8 cannot hold, raise nothing but SourceError."""
    outcome(MemorySource([sql_migration(version, name, up, down)]).load)


def test_bodies_are_equal_by_origin_and_checksum() -> None:
    """How a script is read does not matter to whether it is the same."""
    assert TextBody("x", "1", "a") == TextBody("x", "1", "a")


def test_a_way_back_that_is_no_text_is_refused_before_the_way_there(tmp_path: Path) -> None:
    """A down script is not read while nothing is pending, and must be text before its migration is applied."""
    folder = write(tmp_path / "m", {"1_a.up.sql": A, "1_a.down.sql": b"\xff\xfe"})
    url = f"sqlite:///{tmp_path}/app.db"

    FilesystemSource(folder).load()
    assert problems(Migrator(url, folder).upgrade, folder) == ["1_a.down.sql: the file is UTF-16: save it as UTF-8"]

    write(folder, {"1_a.down.sql": b""})
    Migrator(url, folder).upgrade()
    write(folder, {"1_a.down.sql": b"\xff\xfe"})
    assert not Migrator(url, folder).upgrade().outcomes
    assert problems(Migrator(url, folder).downgrade, folder) == ["1_a.down.sql: the file is UTF-16: save it as UTF-8"]


def test_the_folder_above_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """Where there is no migration, but in a folder of it, the wrong one was named; an empty one is a beginning."""
    folder = tmp_path / "shop"
    (folder / "migrations").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "README.md").touch()
    assert FilesystemSource(folder).load() == []

    (folder / "migrations" / "1_a.sql").write_text("SELECT 1")
    (folder / ".git" / "1_a.sql").write_text("SELECT 1")

    with pytest.raises(SourceError, match=r"shop/migrations: here are migrations, .*name this one. Nothing was run"):
        FilesystemSource(folder).load()
    (folder / "2_b.sql").write_text("SELECT 2")
    assert [str(m) for m in FilesystemSource(folder).load()] == ["2_b"]
