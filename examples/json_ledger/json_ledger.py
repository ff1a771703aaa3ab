"""A ledger outside the database: a folder with a JSON file for each record.

Run it twice: the second time there is nothing to do.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from dbmigrate import LedgerConflict, LedgerError, MemorySource, Migrator, Record, sql_migration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

HERE = Path(__file__).parent
_FIELDS = {field.name for field in fields(Record)}
_TIMES = ("started_at", "finished_at")


@dataclass(frozen=True)
class JsonLedger:
    """Records in a folder, `000001.json` and so on: the name is the seq, and a name can be taken only once."""

    folder: Path
    #: Its records do not commit with the step that they are about: begin and end are recorded one by one.
    transactional: ClassVar[bool] = False

    def read(self, connection: Connection) -> Sequence[Record]:  # noqa: ARG002
        """Read all files, in order of their names; none where there is no folder."""
        return [_record(path) for path in sorted(self.folder.glob("*.json"))]

    def create(self, connection: Connection) -> None:  # noqa: ARG002
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def append(self, connection: Connection, record: Record) -> None:  # noqa: ARG002
        """Write a file, and then give it its name, which fails if that is taken: nobody ever reads half of it."""
        draft = self.folder / f"{uuid4().hex}.draft"
        try:
            with draft.open("x", encoding="utf-8") as file:
                json.dump(record.to_dict() | {"down_sql": record.down_sql}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            (self.folder / f"{record.seq:06}.json").hardlink_to(draft)
        except FileExistsError as error:
            raise LedgerConflict(f"{record.seq:06}.json is there already") from error
        finally:
            draft.unlink(missing_ok=True)
        _sync(self.folder)


def _record(path: Path) -> Record:
    """Return the record of a file; keys that a later version added are left out."""
    try:
        values = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key in _FIELDS}
        for name in _TIMES:
            values[name] = values[name] and datetime.fromisoformat(values[name])
        return Record(**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"{path} is not a record of dbmigrate: {error!r}. Restore it from a backup") from error


def _sync(folder: Path) -> None:
    """Have the new name on the disk before the step goes on; Windows cannot, and need not, be told."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def main() -> None:
    """Bring app.db up to date, and show what the ledger holds."""
    source = MemorySource([sql_migration("1", "users", "CREATE TABLE users (id INTEGER)", "DROP TABLE users")])
    migrator = Migrator(f"sqlite:///{HERE / 'app.db'}", source, ledger=JsonLedger(HERE / "ledger"))

    report = migrator.upgrade()

    for outcome in report.outcomes:
        print(f"applied {outcome.step.migration}")
    if not report:
        print("nothing to do")
    for path in sorted((HERE / "ledger").glob("*.json")):
        print(path.name, json.loads(path.read_text(encoding="utf-8"))["action"])


if __name__ == "__main__":
    main()
