"""The native layout: flat up/down pairs, flat single files and Diesel's folders, mixed as you like.

    20261123101500_add_users.up.sql     a pair, as SQLx and golang-migrate have it
    20261123101500_add_users.down.sql
    20261123102000_add_email.sql        one file, up only
    20261123104000_add_index/           as Diesel has it
        up.sql  down.sql  metadata.toml

Versions are digits and ordered as integers; dashes in them are dropped, as Diesel does. What looks
like a migration and is not one is a problem: a file that begins with a digit or ends in .sql, a
folder that begins with a digit or has an up.sql or down.sql. README, dot files, editor backups and
empty folders are passed over.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from dbmigrate.errors import SourceError
from dbmigrate.layouts.folder import body, unreadable
from dbmigrate.model import Migration
from dbmigrate.script import Problem, decode

if TYPE_CHECKING:
    from dbmigrate.layouts.folder import Entry, Folder
    from dbmigrate.model import Body

# The ledger holds versions of 255 characters; and int() takes no more than 4,300 digits.
_VERSION = r"([0-9][0-9-]{0,254})"
_SCRIPT = re.compile(rf"{_VERSION}_(.+?)(\.up|\.down|)\.sql", re.DOTALL)
_FOLDER = re.compile(rf"{_VERSION}_(.+)", re.DOTALL)
_BACKUPS = ("~", "#", ".bak", ".orig", ".rej", ".swp", ".swo", ".tmp")
_SUFFIXES = (".up.sql", ".down.sql", ".sql")
_FILES = ("up.sql", "down.sql", "metadata.toml")


class _Piece(NamedTuple):
    """What one entry has of a migration: all of it, or one script of a pair."""

    #: ".up", ".down", "" (a single file) or "folder".
    kind: str
    version: str
    name: str
    entry: Entry
    up: Body | None
    down: Body | None


def read(folder: Folder) -> tuple[list[Migration], list[Problem]]:
    """Return the migrations of a folder in history order, and everything that is wrong with it."""
    problems: list[Problem] = []
    pieces: dict[int, list[_Piece]] = {}
    for entry in folder.entries():
        piece = (_folder if entry.is_folder else _script)(entry, problems)
        if piece is not None:
            pieces.setdefault(int(piece.version), []).append(piece)
    found = [_migration(pieces[version], problems) for version in sorted(pieces)]
    problems.sort(key=lambda problem: problem.origin)
    return [migration for migration in found if migration is not None], problems


def _script(entry: Entry, problems: list[Problem]) -> _Piece | None:
    found = _SCRIPT.fullmatch(entry.name)
    if found is None:
        _complain(entry, problems)
        return None
    version, name, kind = found.groups()
    if name.endswith((".up", ".down", ".sql")):
        problems.append(Problem(entry.origin, None, "two suffixes: leave one of them out"))
    version = version.replace("-", "")
    if kind == ".down":
        return _Piece(kind, version, name, entry, None, body(entry, problems, may_be_blank=True))
    return _Piece(kind, version, name, entry, body(entry, problems), None)


def _complain(entry: Entry, problems: list[Problem]) -> None:
    """Say of a file what keeps it from being a migration, if it looks like one."""
    name = entry.name
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), None)
    if _is_passed_over(name) or not (suffix or _is_versioned(name)):
        return
    if entry.defect is not None:
        reason = entry.defect
    elif suffix and not name.endswith(suffix):
        reason = f"write the suffix in lower case: {suffix}"
    elif suffix:
        reason = "not a migration by its name: call it <digits>_<name>.sql, or move it elsewhere"
    elif name.endswith(".py"):
        reason = "migrations in Python are not supported by this version of dbmigrate: write SQL"
    else:
        reason = "not a migration by its suffix, .up.sql, .down.sql or .sql: rename it, or move it elsewhere"
    problems.append(Problem(entry.origin, None, reason))


def _is_passed_over(name: str) -> bool:
    return name.startswith((".", "#")) or name.endswith(_BACKUPS)


def _is_versioned(name: str) -> bool:
    return name[:1].isdigit()


def _folder(entry: Entry, problems: list[Problem]) -> _Piece | None:
    files: dict[str, Entry] = {}
    defect = entry.defect
    if entry.name.startswith("."):
        return None
    if defect is None:
        try:
            files = {e.name: e for e in entry.entries() if not _is_passed_over(e.name)}
        except SourceError as error:
            defect = error.reason
    if not (
        any(name.lower() in ("up.sql", "down.sql") for name in files)
        or (_is_versioned(entry.name) and (files or defect))
    ):
        return None
    if defect is not None:
        problems.append(Problem(entry.origin, None, defect))
    found = _FOLDER.fullmatch(entry.name)
    if found is None:
        reason = "not a migration by its name: call it <digits>_<name>, or move it elsewhere"
        problems.append(Problem(entry.origin, None, reason))
        return None
    version, name = found.groups()
    up, down = _inside(entry, files, problems) if defect is None else (None, None)
    return _Piece("folder", version.replace("-", ""), name, entry, up, down)


def _inside(entry: Entry, files: dict[str, Entry], problems: list[Problem]) -> tuple[Body | None, Body | None]:
    """Return the up and the down script of a folder."""
    for name, file in files.items():
        lower = name.lower()
        if name in _FILES or not lower.endswith((".sql", ".py", ".toml")):
            continue
        reason = f"a migration's folder has {', '.join(_FILES)}: rename it, or move it elsewhere"
        if lower in _FILES:
            reason = f"differs from {lower!r} only in case: rename it, or delete it"
        problems.append(Problem(file.origin, None, reason))
    up, down, metadata = (files.get(name) for name in _FILES)
    transaction = metadata is None or _run_in_transaction(metadata, problems)
    if up is None:
        reason = "there is no up.sql in it: add one, or delete the folder"
        problems.append(Problem(entry.origin, None, reason))
    return (
        up and body(up, problems, transaction=transaction),
        down and body(down, problems, transaction=transaction, may_be_blank=True),
    )


def _run_in_transaction(entry: Entry, problems: list[Problem]) -> bool:
    """Read Diesel's metadata.toml, whose one key is `run_in_transaction`.

    Diesel takes a file without that key for false and one that does not parse for true. Both
    surprise, so both are problems here.
    """
    defect = entry.defect
    if defect is None:
        try:
            text, defect = decode(entry.read())
            value = tomllib.loads(text).get("run_in_transaction")
        except (ValueError, RecursionError) as error:
            defect = f"not TOML: {error}"
        except Exception as error:  # noqa: BLE001 - an archive raises errors of its own
            defect = unreadable(error)
        else:
            if isinstance(value, bool):
                return value
            defect = defect or "say run_in_transaction = true or false, or delete the file"
    problems.append(Problem(entry.origin, None, defect))
    return True


def _migration(pieces: list[_Piece], problems: list[Problem]) -> Migration | None:
    """Return the migration that the pieces of one version make up; None if they do not."""
    up, down = pieces[0], pieces[-1]
    if len(pieces) == 1 and up.up is not None:
        return Migration(up.version, up.name, up.up, up.down)
    if up.kind == ".down":
        up, down = down, up
    if len(pieces) == 2 and (up.kind, down.kind) == (".up", ".down"):  # noqa: PLR2004 - a pair
        if (up.version, up.name) == (down.version, down.name) and up.up is not None:
            return Migration(up.version, up.name, up.up, down.down)
    problems += _clash(sorted(pieces, key=lambda piece: piece.entry.name))
    return None


def _clash(pieces: list[_Piece]) -> list[Problem]:
    """Say why the pieces of one version do not make up a migration."""
    kinds = sorted(piece.kind for piece in pieces)
    if set(kinds) == {".down"}:
        reason = "a down script without its up script: add the .up.sql, or delete it"
        return [Problem(piece.entry.origin, None, reason) for piece in pieces]
    if len(pieces) == 1:
        return []  # a folder, and it is known what is wrong in it
    names = " and ".join(repr(piece.entry.name) for piece in pieces)
    if kinds == [".down", ".up"]:
        reason = f"up and down script have different names: {names}. Rename one of them"
    elif kinds == ["", ".down"]:
        reason = f"{names} are no pair: give the up script the suffix .up.sql"
    else:
        reason = f"version {int(pieces[0].version)} is there twice: {names}. Rename one of them"
    if len({piece.entry.name.casefold() for piece in pieces}) < len(pieces):
        reason += "; they differ only in case, and some file systems take them for one"
    return [Problem(pieces[0].entry.origin, None, reason)]
