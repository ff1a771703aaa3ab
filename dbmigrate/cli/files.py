"""The files of a new migration: a version that nobody else has, a form, a template."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from dbmigrate.errors import ConfigurationError
from dbmigrate.source import FilesystemSource, PackageSource, Source

_TIME: Final = "%Y%m%d%H%M%S"
_TIME_DIGITS: Final = 14
_ENTRY = re.compile(r"([0-9][0-9-]*)_")
_WORDS = re.compile(r"[^\w-]+")
_UP = "-- {name}: what this migration changes. Each statement ends with a semicolon.\n"
_DOWN = "-- {name}: take back what the up script does. Without this file there is no way back.\n"
_PYTHON = '''"""{name}."""

from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Runs inside the transaction of the step: do not commit or roll back."""
    raise NotImplementedError("write this migration")


# Without this function there is no way back:
#
# def downgrade(connection: Connection) -> None:
#     """Takes it back."""
#     connection.execute(text("..."))  # from sqlalchemy import text
'''
#: For each form: the files behind `<version>_<name>`, and what of a template they are made from.
_FORMS: Final = {
    "pair": {".up.sql": "up.sql", ".down.sql": "down.sql"},
    "single": {".sql": "up.sql"},
    "python": {".py": "migration.py"},
    "directory": {"/up.sql": "up.sql", "/down.sql": "down.sql"},
}
_TEXTS: Final = {"up.sql": _UP, "down.sql": _DOWN, "migration.py": _PYTHON}


@dataclass(frozen=True, slots=True)
class Made:
    """A migration that was written."""

    version: str
    name: str
    paths: Sequence[str]


def write(source: Source, name: str, form: str, *, sequential: bool | None, template: str | None) -> Made:
    """Write the files of the next migration.

    Its version is above all that are there, and nobody else's: whoever finds another migration of the same version
    beside the file just made takes it away and tries the next one, so of any number that are made at once no two
    keep the same. Existing files are never touched. Raises ConfigurationError if there is no name or no folder, and
    OSError as the file system does.
    """
    title = _WORDS.sub("_", name.strip()).strip("_.-")
    if not title:
        raise ConfigurationError(f"{name!r} is no name for a migration: say in a few words what it does")
    texts = _texts(form, template)
    folder = _folder(source)
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        version = next_version(_versions(folder), sequential=sequential, now=datetime.now(UTC))
        stem = f"{version}_{title}"
        made = [folder / f"{stem}{suffix}" for suffix in texts]
        if form == "directory":
            (folder / stem).mkdir(exist_ok=True)
        try:
            for path, text in zip(made, texts.values(), strict=True):
                with path.open("x", encoding="utf-8", newline="\n") as file:
                    file.write(text.replace("{version}", version).replace("{name}", title))
        except FileExistsError:
            continue
        others = [text for text in _versions(folder) if int(text) == int(version)]
        if len(others) == (len(made) if form == "pair" else 1):
            return Made(version, title, [os.path.relpath(path) for path in made])
        for path in made:
            path.unlink()
        if form == "directory":
            (folder / stem).rmdir()
        time.sleep(random.uniform(0, 0.05))  # noqa: S311 - spreads those who met


def next_version(versions: Sequence[str], *, sequential: bool | None, now: datetime) -> str:
    """Return a version above all others, in the style of the last one: a number, or a time in UTC.

    `sequential`: a number, or not; None: as the others are.
    """
    last = max(versions, key=int, default="")
    stamp, rest = _time(last), "0" * (len(last) - _TIME_DIGITS)  # Diesel's have four digits more
    if sequential or (sequential is None and last and stamp is None):
        return str(int(last or 0) + 1).zfill(len(last) or 4)
    if stamp is not None:
        now = max(now, stamp + timedelta(seconds=1))
    version = f"{now:{_TIME}}{rest}"
    return version if not last or int(version) > int(last) else str(int(last) + 1)


def _time(version: str) -> datetime | None:
    if len(version) >= _TIME_DIGITS:
        with suppress(ValueError):  # a number, then
            return datetime.strptime(version[:_TIME_DIGITS], _TIME).replace(tzinfo=UTC)
    return None


def _versions(folder: Path) -> list[str]:
    """Return the version of each entry that has one: a pair has two entries."""
    found = (_ENTRY.match(entry.name) for entry in folder.iterdir())
    return [match[1].replace("-", "") for match in found if match]


def _texts(form: str, template: str | None) -> dict[str, str]:
    """Return what stands in each file of a form, by its suffix."""
    texts = dict(_TEXTS)
    if template is not None:
        if not Path(template).is_dir():
            raise ConfigurationError(f"there is no folder {template} for the template. Nothing was written")
        texts |= {
            name: (Path(template) / name).read_text(encoding="utf-8")
            for name in texts
            if (Path(template) / name).is_file()
        }
    return {suffix: texts[name] for suffix, name in _FORMS[form].items()}


def make_folder(source: Source) -> str | None:
    """Make the folder of a source if it is a folder that is missing. Return its path, or None: there is nothing to do.

    Raises ConfigurationError if it cannot be made.
    """
    if not isinstance(source, FilesystemSource) or os.path.lexists(source.path):
        return None
    try:
        Path(source.path).mkdir(parents=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the folder {source.path} cannot be made: {error}. Nothing was done") from error
    return str(source.path)


def _folder(source: Source) -> Path:
    """Return where the files of a source are."""
    if isinstance(source, FilesystemSource):
        return Path(source.path)
    if not isinstance(source, PackageSource):
        raise ConfigurationError(f"{type(source).__name__} is not a folder: write the migration there by hand")
    name = str(source.package)
    try:
        spec = find_spec(name)
    except Exception as error:  # the packages around it are imported, and raise anything
        reason = f"the package {name!r} cannot be found: {type(error).__name__}: {error}. Nothing was written"
        raise ConfigurationError(reason) from error
    places = [Path(place) for place in (spec.submodule_search_locations or ()) if Path(place).is_dir()] if spec else []
    if spec is None:
        raise ConfigurationError(f"there is no package {name!r}. Nothing was written")
    if len(places) != 1 or {"site-packages", "dist-packages"} & set(places[0].parts):
        raise ConfigurationError(
            f"the package {name} is installed, and its files are not those of the project: install it in editable mode "
            "(pip install -e .), or work in its checkout. Nothing was written"
        )
    return places[0] / source.path
