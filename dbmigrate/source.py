"""Where migrations come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbmigrate.errors import SourceError
from dbmigrate.layouts import layout as find_layout
from dbmigrate.layouts.folder import Folder
from dbmigrate.model import Body, Migration
from dbmigrate.script import Problem, checksum, decode, is_blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST = 255  # characters of a version or name; the ledger's columns hold that many


class Source(Protocol):
    """The port through which migrations come in. To write one, return them all, in history order."""

    def load(self) -> Sequence[Migration]:
        """Return every migration, in history order. Nothing else ever compares versions.

        Read every script once, to hash it, and keep none: `Body.read` reads it again when it runs. Raise SourceError
        with everything that is wrong at once; touch no database.
        """
        ...


@dataclass(frozen=True, slots=True)
class FilesystemSource:
    """A folder of migrations.

    A relative path counts from the working directory at the time of the call. Links must stay inside the folder. No
    file is kept open, and no text is kept: memory holds one script at a time.
    """

    path: str | os.PathLike[str] = "migrations"
    #: The grammar of the folder, by name.
    layout: str = "native"

    def load(self) -> Sequence[Migration]:
        """Return the folder's migrations in the layout's order.

        Raises SourceError with everything that is wrong with the folder at once: names, versions, encodings.
        """
        read = find_layout(self.layout)
        migrations, problems = read(Folder(Path(self.path), os.fspath(self.path)))
        return _checked(migrations, problems)


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Migrations built in code, in the order given."""

    migrations: Iterable[Migration]

    def load(self) -> Sequence[Migration]:
        """Return the migrations. Raises SourceError for duplicate versions and for text that cannot be sent."""
        problems: list[Problem] = []
        migrations = list(self.migrations)
        seen = set[str]()
        for m in migrations:
            if m.version in seen:
                problems.append(Problem(str(m), None, f"version {m.version} is there twice"))
            seen.add(m.version)
            for body in (m.up, m.down) if m.down else (m.up,):
                data = body.read().encode(errors="surrogatepass")
                defect = decode(data)[1]
                if defect is None and body is m.up and is_blank(data):
                    defect = "there is no statement in it"
                if defect is not None:
                    problems.append(Problem(body.origin, None, defect))
        return _checked(migrations, problems)


def _checked(migrations: Sequence[Migration], problems: list[Problem]) -> Sequence[Migration]:
    for m in migrations:
        for what, text in (("version", m.version), ("name", m.name)):
            if not text or len(text) > _LONGEST or not text.isprintable():
                reason = f"the {what} must have 1 to {_LONGEST} printable characters"
                problems.append(Problem(m.up.origin, None, reason))
    if problems:
        raise SourceError(problems)
    return migrations


def sql_migration(version: str, name: str, up: str, down: str | None = None) -> Migration:
    """Return a migration built from SQL text, for a MemorySource.

    `version` is an opaque string; the source's order is the order of history. Nothing is checked here: the source
    does so when it is loaded.
    """
    label = f"{version}_{name}"
    back = None if down is None else _text_body(f"{label}.down", down)
    return Migration(version, name, _text_body(f"{label}.up", up), back)


def _text_body(origin: str, text: str) -> Body:
    return Body(origin, checksum(text.encode(errors="surrogatepass")), lambda: text)
