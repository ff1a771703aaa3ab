"""Applying a long history to an empty database, against a hand-written loop.

Each contestant gets a new database in each turn, and connects by itself. On MariaDB there is a
second loop with a journal like dbmigrate's: the first against the second is what a journal costs,
and dbmigrate against the second is what dbmigrate adds to that.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine

from dbmigrate import Migrator, TableLedger
from tests.benchmarks import common, history
from tests.benchmarks.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import URL
    from sqlalchemy.engine import Connection

    from dbmigrate.model import JournalEntry

TARGETS = {"sqlite": 1.3, "postgresql": 1.15, "mariadb": 1.6}

_IN_JOURNAL: list[float] = []


class TimedLedger(TableLedger):
    """A ledger that adds up the time which goes into the journal."""

    __slots__ = ()

    def note(self, connection: Connection, entries: Sequence[JournalEntry]) -> None:
        """Insert journal entries, on the clock."""
        clock = time.perf_counter()
        TableLedger.note(self, connection, entries)
        _IN_JOURNAL[-1] += time.perf_counter() - clock


def with_dbmigrate(url: URL, folder: str, count: int) -> None:
    """Apply everything with dbmigrate."""
    _IN_JOURNAL.append(0.0)
    engine = create_engine(url)
    report = Migrator(engine, folder, ledger=TimedLedger()).upgrade()
    engine.dispose()
    assert len(report.outcomes) == count


def with_loop(kind: str, url: URL, folder: str, count: int, *, journal: bool = False) -> None:
    """Apply everything with the loop."""
    with closing(common.connect(kind, url)) as connection:
        assert Loop(kind, connection, journal=journal).upgrade(folder) == count


def run(place: common.Place, folder: str, count: int, repetitions: int) -> list[list[str]]:
    """Measure one kind of database; return rows of the table."""
    numbers = itertools.count()
    _IN_JOURNAL.clear()

    def on_new_database(apply: Callable[[URL], None]) -> Callable[[], common.Sample]:
        def turn() -> common.Sample:
            with place.database(f"bench_{next(numbers)}") as url:
                return common.measure(lambda: apply(url))

        return turn

    contestants = {
        "loop": on_new_database(lambda url: with_loop(place.kind, url, folder, count)),
        "dbmigrate": on_new_database(lambda url: with_dbmigrate(url, folder, count)),
    }
    if place.kind == "mariadb":
        contestants["loop with journal"] = on_new_database(
            lambda url: with_loop(place.kind, url, folder, count, journal=True)
        )
    results = common.take_turns(contestants, repetitions)
    wall = {name: [s.wall for s in samples] for name, samples in results.items()}
    cpu = {name: [s.cpu for s in samples] for name, samples in results.items()}
    rows = [
        [
            place.kind,
            name,
            common.spread(wall[name]),
            common.spread(cpu[name]),
            common.spread(common.ratios(wall[name], wall["loop"])),
            common.spread(common.ratios(cpu[name], cpu["loop"])),
            f"<= {TARGETS[place.kind]}" if name == "dbmigrate" else "",
        ]
        for name in sorted(results, key=lambda name: (name == "dbmigrate", name))
    ]
    if place.kind == "mariadb":
        base, of_cpu = wall["loop with journal"], cpu["loop with journal"]
        against = common.spread(common.ratios(wall["dbmigrate"], base))
        against_cpu = common.spread(common.ratios(cpu["dbmigrate"], of_cpu))
        rows.append([place.kind, "... against the loop with journal", "", "", against, against_cpu, ""])
        rows.append([place.kind, "... in its journal", common.spread(_IN_JOURNAL), "", "", "", ""])
    return rows


def main() -> None:
    """Measure, and print a table."""
    options = common.parser("tests.benchmarks.apply", __doc__)
    options.add_argument("--migrations", type=int, default=1000, help="length of the history")
    options.add_argument("--repetitions", type=int, default=5, help="turns")
    options.add_argument("--layout", choices=history.LAYOUTS, default="pairs", help="the files")
    common.add_databases(options)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbmigrate-") as folder:
        history.write_schema(Path(folder), chosen.migrations, chosen.layout)
        for kind in chosen.databases:
            with common.open_place(kind) as place:
                title = f"apply {chosen.migrations} migrations ({chosen.layout}), {kind}, "
                common.print_title(f"{title}{chosen.repetitions} turns", *place.versions)
                rows = run(place, folder, chosen.migrations, chosen.repetitions)
            head = ["database", "contestant", "wall s", "CPU s", "wall / loop", "CPU / loop"]
            common.print_table([*head, "target (wall)"], rows)


if __name__ == "__main__":
    main()
