"""Tricky files, run by the database's own client and by us: what both leave behind is the same.

Each file under tests/oracle has one trickiness, which its name says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from dbmigrate import Migrator
from tests import servers

if TYPE_CHECKING:
    from tests.conftest import Database, Kind

FILES: Final = Path(__file__).parent / "oracle"

#: Folder and name of the files for a kind of database.
FOLDERS: Final[dict[Kind, str]] = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}

#: The start of the names of files that the client cannot cut: it wants a DELIMITER, and the files say where.
BARE: Final = "without_delimiter"


def each(kind: Kind) -> pytest.MarkDecorator:
    """Run a test with each file for that kind of database."""
    files = sorted((FILES / FOLDERS[kind]).glob("*.sql"))
    return pytest.mark.parametrize("file", files, ids=[file.stem for file in files])


def check(request: pytest.FixtureRequest, theirs: Database, file: Path, folder: Path) -> None:
    """Run the file both ways, each in a database of its own, and compare all that is in them.

    The client runs it in one transaction where dbmigrate does so.
    """
    client = servers.find_client(theirs.kind)
    if client is None:
        reason = f"there is no client for {theirs.kind} here to compare with"
        if request.config.getoption("--require-servers"):
            pytest.fail(reason)
        pytest.skip(reason)
    ours = theirs.another()
    folder.mkdir()
    shutil.copyfile(file, folder / f"1_{file.name}")
    migrator = Migrator(ours.url, folder)
    in_transaction = migrator.plan().steps[0].transactional

    answer = run(client, theirs, file, in_transaction=in_transaction)
    assert not answer.returncode, answer.stderr.decode()
    migrator.upgrade()

    expected, found = theirs.dump(), ours.dump(exclude="dbmigrate_")
    assert theirs.tables()
    if theirs.kind != "postgresql":  # these clients read lines, and give each the line end that they know
        expected, found = with_one_line_end(expected), with_one_line_end(found)
    assert expected == found


def with_one_line_end(dump: dict[str, list[str]]) -> dict[str, list[str]]:
    r"""Return a dump with \n in the place of \r\n, both as such and as rows show them."""
    return {
        name: [line.replace("\r\n", "\n").replace(r"\r\n", r"\n") for line in lines] for name, lines in dump.items()
    }


def run(client: Path, database: Database, file: Path, *, in_transaction: bool) -> subprocess.CompletedProcess[bytes]:
    """Run a file through the database's own client."""
    text = file.read_bytes()
    server = database.server
    if server is None:
        command = [str(client), "-batch", "-bail", "-init", os.devnull, database.name]
    elif server.kind == "postgresql":
        command = [str(client), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", servers.USER, "-d", database.name]
        command += ["-h", str(server.socket), "-p", str(server.port), "-f", "-"]
        # BEGIN in a transaction is only a warning, so a file that has its own is fine too.
        command += ["--single-transaction"] if in_transaction else []
    else:
        # Without --comments it would cut the comments out of the bodies of routines.
        command = [str(client), "--no-defaults", "--comments", "--default-character-set=utf8mb4"]
        command += [f"--socket={server.socket}", f"--user={servers.USER}", database.name]
        if file.name.startswith(BARE):
            text = b"DELIMITER //\n" + text.replace(b"; -- end\n", b" //\n")
    return subprocess.run(
        command,
        input=text,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "PGCLIENTENCODING": "UTF8",
            "PGOPTIONS": "-c client_min_messages=error",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )


@each("sqlite")
def test_sqlite(request: pytest.FixtureRequest, sqlite: Database, file: Path, tmp_path: Path) -> None:
    """SQLite: as the sqlite3 shell does."""
    check(request, sqlite, file, tmp_path / "migrations")


@each("postgresql")
def test_postgresql(request: pytest.FixtureRequest, postgresql: Database, file: Path, tmp_path: Path) -> None:
    """PostgreSQL: as psql does, in one transaction unless the file says otherwise."""
    check(request, postgresql, file, tmp_path / "migrations")


@each("mariadb")
def test_mariadb(request: pytest.FixtureRequest, mariadb: Database, file: Path, tmp_path: Path) -> None:
    """MariaDB: as its client does."""
    check(request, mariadb, file, tmp_path / "migrations")
