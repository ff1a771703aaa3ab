"""A ledger over a table of your own shape: one row for each migration that is applied now, and no history.

Run it twice: the second time there is nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import BigInteger, Column, DateTime, MetaData, String, Table, create_engine, delete, insert, or_, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from dbmigrate import LedgerConflict, LedgerError, MemorySource, Migrator, Record, sql_migration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

HERE = Path(__file__).parent
INSTALLED = Table(
    "installed",
    MetaData(),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("version", String(255), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("checksum", String(96)),
    Column("installed_at", DateTime, nullable=False),
)


@dataclass(frozen=True)
class OwnTable:
    """The ledger: `place` is the seq, and as the primary key it is what keeps two from claiming the same."""

    table: Table = INSTALLED

    def read(self, connection: Connection) -> Sequence[Record]:
        """Make up a record for each row; it asks first, for an error would spoil the transaction that is open."""
        if not sqlalchemy.inspect(connection).has_table(self.table.name):
            return []
        t = self.table.c
        rows = connection.execute(select(t.place, t.version, t.name, t.checksum).order_by(t.place))
        return [Record(row.place, row.version, row.name, "up", row.checksum) for row in rows]

    def create(self, connection: Connection) -> None:
        """Make the table; where two do so at once a database may refuse one of them, which then tries again."""
        try:
            connection.execute(CreateTable(self.table, if_not_exists=True))
        except DBAPIError as error:
            raise LedgerConflict(f"{self.table.name} could not be created: {error.orig}") from error

    def append(self, connection: Connection, record: Record) -> None:
        """Insert the row of what goes up, delete that of what goes back, and refuse what the table has no place for."""
        if record.action not in ("up", "baseline", "down"):
            raise LedgerError(
                f"{self.table.name} holds what is applied now, so it cannot keep {record.action} of {record}"
            )
        try:
            self._append(connection, record)
        except IntegrityError as error:
            raise LedgerConflict(f"place {record.seq} is taken: {error.orig}") from error
        except DBAPIError as error:
            raise LedgerError(f"{self.table.name} cannot keep {record}: {error.orig}") from error

    def _append(self, connection: Connection, record: Record) -> None:
        t, is_down = self.table.c, record.action == "down"
        found = connection.execute(
            select(t.place, t.version).where(or_(t.place >= record.seq, t.version == record.version))
        ).all()
        if any(row.place >= record.seq for row in found) or (is_down and not found):
            raise LedgerConflict(f"place {record.seq} is taken: somebody else was faster")
        if is_down:
            if connection.execute(delete(self.table).where(t.version == record.version)).rowcount != 1:
                raise LedgerConflict(f"{record} went back already: somebody else was faster")
            return
        if found:
            raise LedgerError(f"{self.table.name} takes {record.version!r} for {found[0].version!r}")
        connection.execute(
            insert(self.table).values(
                place=record.seq,
                version=record.version,
                name=record.name,
                checksum=record.checksum,
                installed_at=datetime.now(UTC).replace(tzinfo=None),
            )
        )


def main() -> None:
    """Bring app.db up to date, and show the table."""
    source = MemorySource([sql_migration("1", "users", "CREATE TABLE users (id INTEGER)", "DROP TABLE users")])
    url = f"sqlite:///{HERE / 'app.db'}"

    report = Migrator(url, source, ledger=OwnTable()).upgrade()

    for outcome in report.outcomes:
        print(f"applied {outcome.step.migration}")
    if not report:
        print("nothing to do")
    engine = create_engine(url)
    with engine.connect() as connection:
        for row in connection.execute(select(INSTALLED.c.place, INSTALLED.c.version, INSTALLED.c.name)):
            print(*row)
    engine.dispose()


if __name__ == "__main__":
    main()
