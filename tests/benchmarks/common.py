"""What the benchmarks share: databases, taking turns, and tables."""

from __future__ import annotations

import argparse
import gc
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import URL

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

KINDS: Final = ("sqlite", "postgresql", "mariadb")


# Measuring


@dataclass(frozen=True)
class Sample:
    """The seconds that a call took: on the clock, and of this process on a processor."""

    wall: float
    cpu: float


def measure(call: Callable[[], object]) -> Sample:
    """Time a call, without what an earlier one left to collect."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)


def take_turns(contestants: Mapping[str, Callable[[], T]], repetitions: int) -> dict[str, list[T]]:
    """Call each once in every turn, in random order; n-th results belong to the same turn."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for _ in range(repetitions):
        for name in random.sample(list(contestants), len(contestants)):
            results[name].append(contestants[name]())
    return results


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Divide turn by turn."""
    return [value / other for value, other in zip(values, base, strict=True)]


# Printing


def spread(values: Sequence[float], unit: float = 1.0, digits: int = 2) -> str:
    """The median, with the smallest and the largest in brackets."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle / unit:.{digits}f} [{low / unit:.{digits}f}-{high / unit:.{digits}f}]"


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Format a table in Markdown."""
    table = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for number, row in enumerate(table):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that is also Markdown."""
    for line in table_lines(head, rows):
        print(line)


def print_title(title: str, *more: str) -> None:
    """Say what was measured, and with which versions."""
    print(f"\n{title}\n")
    versions = [f"Python {platform.python_version()}", f"SQLAlchemy {sqlalchemy.__version__}"]
    print(", ".join([*versions, *more]), end="\n\n", flush=True)


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def add_databases(
    options: argparse.ArgumentParser,
    kinds: Iterable[str] = KINDS,
    default: Iterable[str] | None = None,
) -> None:
    """Add the option that chooses databases."""
    options.add_argument(
        "--databases",
        type=lambda text: text.split(","),
        default=list(kinds if default is None else default),
        metavar="KIND,...",
        help=f"of {', '.join(kinds)}",
    )


# Databases


@dataclass(frozen=True)
class Place:
    """Where new databases can be had: a directory, or a server."""

    kind: str
    #: The driver and the database, with versions.
    versions: tuple[str, ...]
    _directory: Path
    _server: servers.Server | None = None

    @contextmanager
    def database(self, name: str) -> Iterator[URL]:
        """Make a database, and drop it at the end."""
        if self._server is None:
            path = self._directory / f"{name}.db"
            yield URL.create("sqlite", database=str(path))
            path.unlink(missing_ok=True)
            return
        with closing(connect(self.kind, self._home)) as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE DATABASE {name}")
            yield self._server.url(name)
            # A client that was killed may leave its backend behind for a while.
            force = " WITH (FORCE)" if self.kind == "postgresql" else ""
            cursor.execute(f"DROP DATABASE {name}{force}")

    @property
    def _home(self) -> URL:
        assert self._server is not None
        return self._server.url("postgres" if self.kind == "postgresql" else "mysql")


@contextmanager
def open_place(kind: str) -> Iterator[Place]:
    """Start a server that writes to disk as a real one does, or make a directory for SQLite."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbmigrate-")))
        if kind == "sqlite":
            yield Place(kind, (f"SQLite {sqlite3.sqlite_version} (sqlite3)",), directory)
            return
        start = servers.postgresql if kind == "postgresql" else servers.mariadb
        server = stack.enter_context(start(durable=True))
        place = Place(kind, (), directory, server)
        with closing(connect(kind, place._home)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT version()")
            version = " ".join(str(cursor.fetchone()[0]).split()[:2])
        name = version if kind == "postgresql" else f"MariaDB {version.partition('-')[0]}"
        driver = servers.DRIVERS[server.kind][0]
        versions = (name, f"{driver} {metadata.version(driver)}")
        yield Place(kind, versions, directory, server)


def connect(kind: str, url: URL) -> Any:
    """Open a connection of the driver itself, in autocommit."""
    if kind == "sqlite":
        return sqlite3.connect(str(url.database), isolation_level=None)
    if kind == "postgresql":
        import psycopg

        query = url.query
        return psycopg.connect(
            host=str(query["host"]),
            port=int(str(query["port"])),
            user=url.username,
            dbname=url.database,
            autocommit=True,
        )
    import pymysql

    return pymysql.connect(
        unix_socket=str(url.query["unix_socket"]),
        user=url.username,
        database=url.database,
        autocommit=True,
        ssl_disabled=True,
    )
