"""dbmigrate beside Alembic, yoyo, Django and a hand-written loop, on one history in one run.

Each tool gets the same statements in its own kind of files, and applies them to a new database,
looks when nothing is pending, and takes everything back. Each of these is one call in a process of
its own (`contestants.py`) that has imported the tool before, as in a release step; it includes the
connecting. All use the same driver, and each migration is a transaction of its own for all of them.
Python files are compiled beforehand. After every call the catalogue of the database is compared
with what the history makes, so that no tool is fast because it did less.

Without --write the results are only printed. With it they replace the tables of the same databases
in README.md too. The tools come with `pip install --group benchmark`.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy

from tests.benchmarks import common, history
from tests.benchmarks.contestants import CONTESTANTS, Address, Script

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import URL

ROOT: Final = Path(__file__).parents[2]

#: Not MariaDB, where Django wants another driver than the others.
KINDS: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

LOOK: Final = "nothing pending"

#: What is measured, in this order, and the call that does it.
ACTIONS: Final = {"apply": "upgrade", LOOK: "upgrade", "revert": "revert"}

BASE: Final = "dbmigrate"

#: The tables of the history, whatever a tool's own are called.
_TABLE: Final = re.compile(r"t\d{5}")


class TooLate(Exception):
    """A call took longer than the limit."""


@dataclass(frozen=True)
class Sample(common.Sample):
    """A call, and the CPU seconds of importing before it."""

    imported: float


#: What the calls of one turn took. None was stopped at the limit, and those after it are missing.
Turn = dict[str, Sample | None]


# The databases, looked at from outside


def catalogue(kind: str, url: URL) -> list[tuple[object, ...]]:
    """Everything in a database that is the history's: columns, indexes, and numbers of rows."""
    with closing(common.connect(kind, url)) as connection:
        cursor = connection.cursor()
        lines: list[tuple[object, ...]] = []
        for query in _CATALOGUE[kind]:
            cursor.execute(query)
            lines += [tuple(row) for row in cursor.fetchall() if _TABLE.fullmatch(row[0])]
        names = sorted({str(line[0]) for line in lines})
        # The others get no rows, and thousands of questions take their time.
        for table in {name for name in names if name.endswith("0")} | set(names[-1:]):
            cursor.execute(f"SELECT count(*), sum(id) FROM {table}")
            lines.append((table, "rows", *cursor.fetchone()))
    return sorted(lines, key=repr)


_CATALOGUE: Final = {
    "sqlite": (
        'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk'
        " FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
        "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index'",
    ),
    "postgresql": (
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    ),
}


def address(kind: str, url: URL) -> Address:
    """Say where a database is, in words for every tool."""
    if kind == "sqlite":
        return Address(kind, str(url.database))
    query = url.query
    return Address(kind, str(url.database), str(query["host"]), int(str(query["port"])), str(url.username))


# The history


def read(folder: Path) -> list[Script]:
    """Read what `history` has written."""

    def statements(path: Path) -> list[str]:
        return [statement for statement in path.read_text().split(";\n") if statement]

    ups = sorted(folder.glob("*.up.sql"))
    stems = [path.name.removesuffix(".up.sql") for path in ups]
    return [
        Script(stem, statements(up), statements(folder / f"{stem}.down.sql"))
        for stem, up in zip(stems, ups, strict=True)
    ]


def write(folder: Path, count: int, names: Sequence[str], tables: int | None = None) -> dict[str, str]:
    """Write a history of that length for each tool; return their folders."""
    original = folder / "history"
    original.mkdir(parents=True)
    history.write_schema(original, count, "pairs", tables)
    scripts = read(original)
    assert len(scripts) == count
    folders = {}
    for name in names:
        own = folder / name
        own.mkdir()
        CONTESTANTS[name].write(scripts, own)
        folders[name] = str(own)
    return folders


# Running


class Runner:
    """Starts processes.

    If they are to be timed they get a place for byte code: beside the source it may not be writable,
    or not be wanted.
    """

    def __init__(self, limit: float, cache: str | None = None) -> None:
        self._limit = limit
        #: What a tool imports only when it is called, as far as it was seen to.
        self._modules: dict[str, list[str]] = {}
        self._environment = dict(os.environ)
        if cache is not None:
            self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
            self._environment["PYTHONPYCACHEPREFIX"] = cache

    def call(self, name: str, action: str, folder: str, where: Address) -> Sample:
        """Let a tool do one thing in a new process."""
        modules = self._modules.setdefault(name, [])
        command = [sys.executable, "-m", "tests.benchmarks.contestants"]
        command += [name, ACTIONS[action], folder, json.dumps(where), json.dumps(modules)]
        try:
            answer = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env=self._environment,
                check=True,
                timeout=self._limit,
            )
        except subprocess.TimeoutExpired as error:
            raise TooLate(f"{name}, {action}") from error
        imported, wall, cpu, late = json.loads(answer.stdout)
        modules += late
        return Sample(wall, cpu, imported)

    def compile(self, folder: str) -> None:
        """Compile a folder as an installer does."""
        command = [sys.executable, "-m", "compileall", "-q", folder]
        subprocess.run(command, env=self._environment, check=True)


class Contest:
    """One history in one kind of database, which every tool has to bring about and to take back."""

    def __init__(self, runner: Runner, place: common.Place, tables: int) -> None:
        #: What every tool must make. Unless it is given, the first of them decides.
        self.expected: list[tuple[object, ...]] = []
        #: How often to look when nothing is pending, which is so short that once says little.
        self.looks = 3
        self._runner = runner
        self._place = place
        self._tables = tables
        self._numbers = itertools.count()

    def take_turn(self, name: str, folder: str) -> Turn:
        """Let a tool apply, look and revert in a new database, and look at that each time."""
        turn: Turn = {}
        with self._place.database(f"bench_{next(self._numbers)}") as url:
            where = address(self._place.kind, url)
            for action in ACTIONS:
                times = self.looks if action == LOOK else 1
                try:
                    samples = [self._runner.call(name, action, folder, where) for _ in range(times)]
                except TooLate:
                    turn[action] = None
                    break
                turn[action] = sorted(samples, key=lambda sample: sample.wall)[times // 2]
                self._check(name, action, catalogue(self._place.kind, url))
        return turn

    def _check(self, name: str, action: str, found: list[tuple[object, ...]]) -> None:
        if action == "revert":
            assert not found, f"{name} left {found[0]} and more"
            return
        tables = len({line[0] for line in found})
        assert tables == self._tables, f"{name}, {action}: {tables} tables"
        self.expected = self.expected or found
        assert found == self.expected, f"{name}, {action}: not what another tool has made"


@dataclass(frozen=True)
class Length:
    """How long a history is, how many of its migrations make a table, and how often it is measured."""

    count: int
    tables: int
    turns: int


def run(runner: Runner, place: common.Place, length: Length, names: Sequence[str]) -> dict[str, list[Turn]]:
    """Let the tools take turns; return what each of them took."""
    contest = Contest(runner, place, length.tables)
    with tempfile.TemporaryDirectory(prefix="dbmigrate-") as folder:
        folders = write(Path(folder), length.count, names, length.tables)
        runner.compile(folder)

        def turn_of(name: str) -> Callable[[], Turn]:
            return lambda: contest.take_turn(name, folders[name])

        return common.take_turns({name: turn_of(name) for name in names}, length.turns)


# Tables


@dataclass(frozen=True)
class Result:
    """All turns at one length of the history."""

    count: int
    turns: Mapping[str, list[Turn]]

    def samples(self, name: str, action: str) -> list[Sample]:
        """Return those that came to an end; the n-th belongs to turn n if none is missing."""
        return [sample for turn in self.turns.get(name, []) if (sample := turn.get(action)) is not None]

    def is_late(self, name: str, action: str) -> bool:
        """Whether a call was stopped at the limit."""
        return any(action in turn and turn[action] is None for turn in self.turns[name])

    def ratios(self, name: str, action: str) -> list[common.Sample]:
        """Divide by dbmigrate, turn by turn; nothing where a turn of either is missing."""
        samples, base = self.samples(name, action), self.samples(BASE, action)
        if not len(samples) == len(base) == len(self.turns[name]):
            return []
        return [common.Sample(s.wall / b.wall, s.cpu / b.cpu) for s, b in zip(samples, base, strict=True)]

    def rows(self, limit: float) -> Iterator[list[str]]:
        """Everything that was measured, for the screen."""
        for action in ACTIONS:
            for name in self.turns:
                cells = [f"{self.count}", action, CONTESTANTS[name].title]
                if samples := self.samples(name, action):
                    cells += [
                        common.spread([s.wall for s in samples], 1e-3, 1),
                        common.spread([s.cpu for s in samples], 1e-3, 1),
                    ]
                else:
                    cells += [f"> {limit:g} s" if self.is_late(name, action) else "not reached", ""]
                if ratios := self.ratios(name, action):
                    cells += [common.spread([r.wall for r in ratios]), common.spread([r.cpu for r in ratios])]
                else:
                    cells += ["", ""]
                yield cells

    def cells(self, action: str, limit: float) -> Iterator[str]:
        """One line for the README: ratios to dbmigrate, and times where there is none."""
        for name in self.turns:
            if self.is_late(name, action):
                yield f"> {limit:g} s"
            elif name != BASE and (ratios := self.ratios(name, action)):
                yield medians(ratios, rounded)
            elif samples := self.samples(name, action):
                yield medians(samples, duration)
            else:
                yield "not reached"


def medians(samples: Sequence[common.Sample], form: Callable[[float], str]) -> str:
    """Both medians, on the clock and of CPU."""
    return f"{form(statistics.median(s.wall for s in samples))} / {form(statistics.median(s.cpu for s in samples))}"


def duration(seconds: float) -> str:
    """Three digits, and a unit."""
    return f"{rounded(seconds * 1e3, 3)} ms" if seconds < 1 else f"{rounded(seconds, 3)} s"


def rounded(value: float, digits: int = 2) -> str:
    """So many digits that count, and no exponent."""
    whole = len(f"{value:.0f}") if value >= 1 else 0
    return f"{value:.{max(digits - max(whole, 1), 0) + (value < 1)}f}"


def summary(kind: str, results: Sequence[Result], limit: float) -> list[str]:
    """Format the table of one kind of database."""
    names = list(results[0].turns)
    head = [KINDS[kind], "migrations", BASE, *(CONTESTANTS[name].title for name in names[1:])]
    rows = [["import (CPU)", "", *imports(results[0])]]
    rows += [
        [action if number == 0 else "", f"{result.count:,}", *result.cells(action, limit)]
        for action in ACTIONS
        for number, result in enumerate(results)
    ]
    return list(common.table_lines(head, rows))


def imports(result: Result) -> Iterator[str]:
    """The line of the imports."""
    seconds = {
        name: [sample.imported for turn in turns for sample in turn.values() if sample is not None]
        for name, turns in result.turns.items()
    }
    base = statistics.median(seconds[BASE]) if seconds[BASE] else None
    for name, measured in seconds.items():
        if not measured:
            yield "not reached"
        elif name == BASE or base is None:
            yield duration(statistics.median(measured))
        else:
            yield rounded(statistics.median(measured) / base)


def versions(place: common.Place, names: Sequence[str]) -> str:
    """Name everything that was measured, how busy the machine was, and the day."""
    tools = [CONTESTANTS[name] for name in names]
    words = [
        *place.versions,
        f"Python {platform.python_version()}",
        f"SQLAlchemy {sqlalchemy.__version__}",
        *(f"{tool.title} {metadata.version(tool.distribution)}" for tool in tools if tool.distribution),
        # A load of 1 is this benchmark alone.
        f"{os.cpu_count()} processors with a load of {os.getloadavg()[2]:.0f}",
        f"{datetime.now(UTC):%Y-%m-%d}",
    ]
    return ", ".join(words)


def replaced(readme: str, kind: str, lines: Sequence[str]) -> str:
    """Put lines between the two marks for that kind of database."""
    begin, end = (f"<!-- peers, {kind}: {word} -->" for word in ("begin", "end"))
    before, found, rest = readme.partition(f"{begin}\n")
    _, also_found, after = rest.partition(f"{end}\n")
    if not found or not also_found:
        raise ValueError(f"there is no {begin} with its {end}")
    return "".join([before, found, *(f"{line}\n" for line in lines), also_found, after])


# The command


def missing(names: Sequence[str]) -> list[str]:
    """Name the tools that are not installed."""
    wanted = {name: CONTESTANTS[name].module for name in names}
    return [name for name, module in wanted.items() if module is not None and util.find_spec(module) is None]


def measure(kind: str, chosen: argparse.Namespace, names: Sequence[str]) -> Iterator[list[str]]:
    """Measure one kind of database and print everything; yield the lines for the README so far."""
    head = ["migrations", "what", "tool", "wall ms", "CPU ms", f"wall / {BASE}", f"CPU / {BASE}"]
    results = []
    with tempfile.TemporaryDirectory(prefix="dbmigrate-") as cache, common.open_place(kind) as place:
        runner = Runner(chosen.limit, cache)
        # Once for nothing, so that all byte code is there, and it is known who imports what late.
        run(runner, place, Length(1, 1, 1), names)
        for count in chosen.migrations:
            # A long history is many measurements, and takes its time.
            length = Length(count, min(count, chosen.tables), max(1, min(chosen.turns, 3000 // count)))
            results.append(Result(count, run(runner, place, length, names)))
            print(f"\n{kind}, {count} migrations, {length.tables} tables, {length.turns} turns\n")
            common.print_table(head, results[-1].rows(chosen.limit))
            sys.stdout.flush()
            yield [versions(place, names), "", *summary(kind, results, chosen.limit)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write if asked to."""
    options = common.parser("tests.benchmarks.peers", __doc__)
    options.add_argument(
        "--migrations",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[1, 100, 1000, 10000],
        metavar="N,...",
        help="lengths of the history",
    )
    # Each ALTER TABLE makes SQLite read the whole schema: with 10,000 tables that is all one measures.
    options.add_argument("--tables", type=int, default=1000, help="later migrations insert a row and no more")
    options.add_argument("--turns", type=int, default=5, help="fewer for 1,000 migrations and more")
    options.add_argument("--limit", type=float, default=300.0, help="seconds after which a call is stopped")
    options.add_argument(
        "--tools",
        type=lambda text: text.split(","),
        default=list(CONTESTANTS),
        metavar="TOOL,...",
        help=f"{BASE} and which of {', '.join(list(CONTESTANTS)[1:])}",
    )
    options.add_argument("--write", action="store_true", help="replace the tables in README.md")
    common.add_databases(options, KINDS, default=["sqlite"])
    chosen = options.parse_args(arguments)
    for given, known in ((chosen.tools, CONTESTANTS), (chosen.databases, KINDS)):
        if unknown := set(given) - set(known):
            options.error(f"not known here: {', '.join(sorted(unknown))}")
    names = [name for name in CONTESTANTS if name in {BASE, *chosen.tools}]
    if absent := missing(names):
        options.error(f"not installed: {', '.join(absent)} (pip install --group benchmark)")
    for kind in chosen.databases:
        lines: list[str] = []
        for lines in measure(kind, chosen, names):
            if chosen.write:
                path = ROOT / "README.md"
                path.write_text(replaced(path.read_text(), kind, lines))
        print("", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
