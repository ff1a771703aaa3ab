"""Calling upgrade() when everything is applied, which is what most calls find.

Both sides hold a connection that was used before: dbmigrate an Engine, the hand-written loop its
connection. Both read and hash every file and read the whole ledger.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine

from dbmigrate import Migrator
from tests.benchmarks import common, history
from tests.benchmarks.loop import Loop

if TYPE_CHECKING:
    from sqlalchemy import URL

TARGET = 30  # microseconds for each applied migration, with many of them


def prepare(kind: str, url: URL, folder: str) -> None:
    """Bring a database up to date, for both sides."""
    with closing(common.connect(kind, url)) as connection:
        connection.cursor().execute(history.ROWS_TABLE)
        Loop(kind, connection).mark_applied(folder)
    Migrator(url, folder, transaction="all").upgrade()


def run(kind: str, url: URL, folder: str, count: int, repetitions: int) -> list[str]:
    """Measure one database; return a row of the table."""
    prepare(kind, url, folder)
    engine = create_engine(url)
    with closing(common.connect(kind, url)) as connection:
        loop, migrator = Loop(kind, connection), Migrator(engine, folder)

        def with_loop() -> None:
            assert loop.upgrade(folder) == 0

        def with_dbmigrate() -> None:
            assert not migrator.upgrade()

        with_loop()
        with_dbmigrate()
        contestants = {
            "loop": lambda: common.measure(with_loop),
            "dbmigrate": lambda: common.measure(with_dbmigrate),
        }
        results = common.take_turns(contestants, repetitions)
    engine.dispose()
    wall = {name: [s.wall for s in samples] for name, samples in results.items()}
    cpu = {name: [s.cpu for s in samples] for name, samples in results.items()}
    return [
        f"{count}",
        common.spread(wall["loop"], 1e-3),
        common.spread(wall["dbmigrate"], 1e-3),
        common.spread(cpu["dbmigrate"], 1e-3),
        common.spread(common.ratios(wall["dbmigrate"], wall["loop"])),
        common.spread(common.ratios(cpu["dbmigrate"], cpu["loop"])),
        f"{statistics.median(cpu['dbmigrate']) / count * 1e6:.1f}",
    ]


def main() -> None:
    """Measure, and print tables."""
    options = common.parser("tests.benchmarks.nothing_pending", __doc__)
    options.add_argument(
        "--migrations",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[10, 100, 1000, 10000],
        metavar="N,...",
        help="how many are applied",
    )
    options.add_argument("--repetitions", type=int, default=9, help="turns")
    common.add_databases(options)
    chosen = options.parse_args()
    head = ["applied", "loop, wall ms", "wall ms", "CPU ms", "wall / loop", "CPU / loop"]
    head.append(f"CPU us each (< {TARGET} at 10000)")
    for kind in chosen.databases:
        with common.open_place(kind) as place:
            for layout in history.LAYOUTS:
                title = f"nothing pending ({layout}), {kind}, {chosen.repetitions} turns"
                common.print_title(title, *place.versions)
                rows = []
                for count in chosen.migrations:
                    with (
                        tempfile.TemporaryDirectory(prefix="dbmigrate-") as folder,
                        place.database(f"bench_{layout}_{count}") as url,
                    ):
                        history.write_rows(Path(folder), count, layout)
                        rows.append(run(kind, url, folder, count, chosen.repetitions))
                common.print_table(head, rows)


if __name__ == "__main__":
    main()
