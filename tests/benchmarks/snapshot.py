"""How long a snapshot of a schema takes, and in how many queries.

The tables have a key, a unique one, a foreign one, a check, an index and defaults; for every tenth there is a view.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import event

from dbmigrate.schema import diff, snapshot
from tests.benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def statements(tables: int) -> Iterator[str]:
    """What makes a schema with so many tables, on each database."""
    for n in range(tables):
        yield f"""CREATE TABLE t{n} (
    id INTEGER NOT NULL PRIMARY KEY, email VARCHAR(100) NOT NULL UNIQUE, parent INTEGER,
    score DECIMAL(10, 2) DEFAULT 0, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP, note VARCHAR(50),
    CONSTRAINT positive{n} CHECK (score >= 0),
    CONSTRAINT parent{n} FOREIGN KEY (parent) REFERENCES t{max(n - 1, 0)} (id)
)"""
        yield f"CREATE INDEX by_note{n} ON t{n} (note, made)"
        if n % 10 == 0:
            yield f"CREATE VIEW v{n} AS SELECT id, email, score FROM t{n} WHERE score > 0"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = common.parser("tests.benchmarks.snapshot", __doc__)
    options.add_argument("--tables", type=int, nargs="*", default=[10, 1000], help="how many, in turn")
    options.add_argument("--repetitions", type=int, default=5, help="of each")
    common.add_databases(options)
    chosen = options.parse_args(arguments)
    for kind in chosen.databases:
        with common.open_place(kind) as place:
            common.print_title("A snapshot of a schema", *place.versions)
            lines = []
            for tables in chosen.tables:
                with place.database(f"schema_{tables}") as url:
                    with closing(common.connect(kind, url)) as raw, closing(raw.cursor()) as cursor:
                        for sql in statements(tables):
                            cursor.execute(sql)
                    lines.append([str(tables), *measured(url, chosen.repetitions)])
            common.print_table(["tables", "queries", "objects", "snapshot, s", "diff, s"], lines)


def measured(url: sqlalchemy.URL, repetitions: int) -> list[str]:
    """Take snapshots of a database, each over a connection that knows nothing of it yet."""
    engine, sent = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool), list[object]()
    samples = []
    for _ in range(repetitions):
        with engine.connect() as connection:
            samples.append(common.measure(partial(snapshot, connection)))
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *_: sent.append(None))
        found = snapshot(connection)
    comparisons = [common.measure(partial(diff, found, found)) for _ in range(repetitions)]
    engine.dispose()
    seconds = common.spread([sample.wall for sample in samples]), common.spread([sample.wall for sample in comparisons])
    return [str(len(sent)), str(len(found.objects)), *seconds]


if __name__ == "__main__":
    main()
