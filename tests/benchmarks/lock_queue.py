"""How long readers of a table stand still behind a migration that waits for a lock on it.

One transaction has read the table and stays open for some seconds. Meanwhile a migration wants to alter the table, and
a reader reads it all the time. Who comes after a statement that waits for a lock waits too, so without a limit the
reader stands still until that transaction ends; with one, no longer than that, each time that the migration tries.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dbmigrate import MemorySource, Migrator, Retrying, sql_migration
from tests.benchmarks import common

if TYPE_CHECKING:
    from sqlalchemy import URL


@dataclass(frozen=True)
class Stall:
    """What one turn came to, in seconds."""

    #: The longest that a reader took for one look at the table.
    longest: float
    #: How long the migration took.
    migration: float
    tries: int


def one_turn(kind: str, url: URL, busy: float, **options: Any) -> Stall:
    """Let a transaction stay open for so many seconds, a migration start, and a reader read."""
    with closing(common.connect(kind, url)) as connection, closing(connection.cursor()) as cursor:
        for sql in (
            "DROP TABLE IF EXISTS busy, dbmigrate_ledger, dbmigrate_ledger_journal",
            "CREATE TABLE busy (x INT)",
        ):
            cursor.execute(sql)
    tries, done, looks = [1], threading.Event(), list[float]()

    def see(event: object) -> None:
        tries[0] += isinstance(event, Retrying)

    source = MemorySource([sql_migration("1", "alter", "ALTER TABLE busy ADD y INT")])
    migrator = Migrator(url, source, on_event=see, **options)

    def read() -> None:
        with closing(common.connect(kind, url)) as connection, closing(connection.cursor()) as cursor:
            while not done.is_set():
                began = time.perf_counter()
                cursor.execute("SELECT x FROM busy")
                cursor.fetchall()
                looks.append(time.perf_counter() - began)
                time.sleep(0.005)

    def migrate() -> None:
        migrator.upgrade()

    reader, migration = threading.Thread(target=read), threading.Thread(target=migrate)
    with closing(common.connect(kind, url)) as holder, closing(holder.cursor()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT x FROM busy")
        cursor.fetchall()
        reader.start()
        began = time.perf_counter()
        migration.start()
        time.sleep(busy)
        cursor.execute("COMMIT")
    migration.join()
    seconds = time.perf_counter() - began
    done.set()
    reader.join()
    return Stall(max(looks), seconds, tries[0])


def main() -> None:
    """Measure, and print a table for each database."""
    options = common.parser("tests.benchmarks.lock_queue", __doc__)
    options.add_argument(
        "--busy", type=float, default=20.0, metavar="SECONDS", help="the transaction that is in the way"
    )
    options.add_argument("--repetitions", type=int, default=3, help="turns")
    common.add_databases(options, ("postgresql", "mariadb"))
    chosen = options.parse_args()
    ways: dict[str, dict[str, Any]] = {
        "no limit": {"lock_timeout": None},
        "default": {},
        "lock_timeout=1": {"lock_timeout": 1},
    }
    for kind in chosen.databases:
        with common.open_place(kind) as place, place.database("bench_queue") as url:
            common.print_title(f"a transaction of {chosen.busy:g} s in the way, {kind}", *place.versions)
            contestants = {name: partial(one_turn, kind, url, chosen.busy, **more) for name, more in ways.items()}
            turns = common.take_turns(contestants, chosen.repetitions)
            rows = [
                [
                    name,
                    common.spread([turn.longest for turn in stalls]),
                    common.spread([turn.migration for turn in stalls]),
                    "/".join(str(turn.tries) for turn in stalls),
                ]
                for name, stalls in turns.items()
            ]
            common.print_table(["", "longest look of a reader, s", "migration, s", "tries"], rows)


if __name__ == "__main__":
    main()
