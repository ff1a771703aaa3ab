"""How long a snapshot of a PostgreSQL schema takes, and in how many queries.

The tables have a key, a unique one, a foreign one, a check, two indexes, a default from a sequence and comments; for
every tenth there are a view, a function and a trigger.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import event

from dbmigrate.schema import diff, snapshot
from tests.benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def statements(tables: int) -> Iterator[str]:
    """What makes a schema with so many tables."""
    for n in range(tables):
        yield f"""CREATE TABLE t{n} (
    id serial PRIMARY KEY, email varchar(100) NOT NULL UNIQUE, parent integer REFERENCES t{max(n - 1, 0)},
    score numeric(10, 2) DEFAULT 0 CHECK (score >= 0), made timestamptz DEFAULT now(), note text
)"""
        yield f"CREATE INDEX ON t{n} (parent)"
        yield f"CREATE INDEX ON t{n} (lower(note)) WHERE note IS NOT NULL"
        yield f"COMMENT ON TABLE t{n} IS 'table {n}'"
        yield f"COMMENT ON COLUMN t{n}.email IS 'where to write'"
        if n % 10 == 0:
            yield f"CREATE VIEW v{n} AS SELECT id, email, score FROM t{n} WHERE score > 0"
            yield f"CREATE FUNCTION f{n}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
            yield f"CREATE TRIGGER g BEFORE UPDATE ON t{n} FOR EACH ROW EXECUTE FUNCTION f{n}()"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = common.parser("tests.benchmarks.schema_snapshot_postgresql", __doc__)
    options.add_argument("--tables", type=int, nargs="*", default=[10, 1000], help="how many, in turn")
    options.add_argument("--repetitions", type=int, default=5, help="of each")
    chosen = options.parse_args(arguments)
    with common.open_place("postgresql") as place:
        common.print_title("A snapshot of a schema", *place.versions)
        lines = []
        for tables in chosen.tables:
            with place.database(f"schema_{tables}") as url:
                with closing(common.connect("postgresql", url)) as raw:
                    for sql in statements(tables):
                        raw.execute(sql.encode())
                lines.append([str(tables), *measured(url, chosen.repetitions)])
        common.print_table(
            ["tables", "queries", "objects", "snapshot, s", "of it in this process, s", "diff, s"], lines
        )


def measured(url: sqlalchemy.URL, repetitions: int) -> list[str]:
    """Take snapshots of a database, each over a connection that knows nothing of it yet."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    sent: list[str] = []
    samples = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    for _ in range(repetitions):
        with engine.connect() as connection:
            samples.append(common.measure(partial(snapshot, connection)))
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", count)
        found = snapshot(connection)
        event.remove(connection, "before_cursor_execute", count)
        again = snapshot(connection)
    comparisons = [common.measure(partial(diff, found, again)) for _ in range(repetitions)]
    seconds = common.spread([sample.wall for sample in samples]), common.spread([sample.cpu for sample in samples])
    compared = common.spread([sample.wall for sample in comparisons], digits=3)
    return [str(len(sent)), str(len(found.objects)), *seconds, compared]


if __name__ == "__main__":
    main()
