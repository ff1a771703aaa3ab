"""The native layout: flat up/down pairs, flat single files and Diesel's folders, mixed as you like.

    20261123101500_add_users.up.sql     a pair, as SQLx and golang-migrate have it
    20261123101500_add_users.down.sql
    20261123102000_add_email.sql        one file, up only
    20261123104000_add_index/           as Diesel has it
        up.sql  down.sql  metadata.toml

Versions are digits and ordered as integers; dashes in them are dropped, as Diesel does. What looks like a migration
and is not one is a problem: a file that begins with a digit or ends in .sql, a folder that begins with a digit or has
an up.sql or down.sql. README, dot files, editor backups and empty folders are passed over.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from dbmigrate.errors import SourceError
from dbmigrate.layouts.folder import UNFIT, down_body, fits, text_of, unreadable, up_body
from dbmigrate.model import Migration
from dbmigrate.script import Problem

if TYPE_CHECKING:
    from dbmigrate.layouts.folder import Entry, Folder
    from dbmigrate.model import Body

# The ledger holds versions of 255 characters; and int() takes no more than 4,300 digits.
_VERSION = r"([0-9][0-9-]{0,254})"
_SCRIPT = re.compile(rf"{_VERSION}_([^.].*?)((?i:(?:\.up|\.down)?\.sql))", re.DOTALL)
_FOLDER = re.compile(rf"{_VERSION}_([^.].*)", re.DOTALL)
_BACKUPS = ("~", "#", ".bak", ".orig", ".rej", ".swp", ".swo", ".tmp")
_SUFFIXES = _UP, _DOWN, _SINGLE = ".up.sql", ".down.sql", ".sql"
_FILES = ("up.sql", "down.sql", "metadata.toml")


class _Piece(NamedTuple):
    """What one entry has of a migration: all of it, or one script of a pair."""

    #: Its suffix, or "folder".
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
            if not fits(piece.name):
                problems.append(Problem(entry.origin, None, f"the name {UNFIT}"))
    migrations: list[Migration] = []
    for version in sorted(pieces):
        migrations += _put_together(pieces[version], problems)
    if problems:  # then all of them: also what would be found only when a down script is read
        down = (piece.down for found in pieces.values() for piece in found)
        problems[:0] = [problem for body in down if body is not None for problem in unreadable(body)]
    problems.sort(key=lambda problem: problem.origin)
    return migrations, problems


def _script(entry: Entry, problems: list[Problem]) -> _Piece | None:
    found = _SCRIPT.fullmatch(entry.name)
    if found is None:
        _complain(entry, problems)
        return None
    version, name, kind = found.groups()
    if kind not in _SUFFIXES:
        kind = kind.lower()
        problems.append(Problem(entry.origin, None, f"write the suffix in lower case: {kind}"))
    if name.lower().endswith((".up", ".down", ".sql")):
        problems.append(Problem(entry.origin, None, "two suffixes: leave one of them out"))
    version = version.replace("-", "")
    if kind == _DOWN:
        return _Piece(kind, version, name, entry, None, down_body(entry, problems))
    return _Piece(kind, version, name, entry, up_body(entry, problems), None)


def _complain(entry: Entry, problems: list[Problem]) -> None:
    """Say of a file what keeps it from being a migration, if it looks like one."""
    name, is_sql = entry.name, entry.name.lower().endswith(".sql")
    if _is_passed_over(name) or not (is_sql or _is_versioned(name)):
        return
    if entry.defect is not None:
        reason = entry.defect
    elif is_sql:
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
    if entry.name.startswith("."):
        return None
    files: dict[str, Entry] = {}
    defect = entry.defect
    if defect is None:
        try:
            files = {file.name: file for file in entry.entries() if not _is_passed_over(file.name)}
        except SourceError as error:
            defect = error.reason
    has_scripts = any(name.lower() in ("up.sql", "down.sql") for name in files)
    if not has_scripts and not (_is_versioned(entry.name) and (files or defect)):
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
        up and up_body(up, problems, transaction=transaction),
        down and down_body(down, problems, transaction=transaction),
    )


def _run_in_transaction(entry: Entry, problems: list[Problem]) -> bool:
    """Read Diesel's metadata.toml, whose one key is `run_in_transaction`.

    Diesel takes a file without that key for false and one that does not parse for true; both surprise, so both are
    problems here.
    """
    _, text, defect = text_of(entry)
    try:
        value = tomllib.loads(text).get("run_in_transaction")
    except (ValueError, RecursionError) as error:
        value, defect = None, f"not TOML: {error}"
    if isinstance(value, bool):
        return value
    reason = defect or "say run_in_transaction = true or false, or delete the file"
    problems.append(Problem(entry.origin, None, reason))
    return True


def _put_together(pieces: list[_Piece], problems: list[Problem]) -> list[Migration]:
    """Return the migration that the pieces of one version make up."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1 and first.up is not None:
        return [Migration(first.version, first.name, first.up, first.down)]
    up, down = (last, first) if first.kind == _DOWN else (first, last)
    is_pair = len(pieces) == 2 and (up.kind, down.kind) == (_UP, _DOWN)  # noqa: PLR2004 - so it is
    if is_pair and up.up is not None and (up.version, up.name) == (down.version, down.name):
        return [Migration(up.version, up.name, up.up, down.down)]
    problems += _clash(sorted(pieces, key=lambda piece: piece.entry.name))
    # They are of no use, but their names are checked with those of the others.
    return [Migration(p.version, p.name, script) for p in pieces if (script := p.up or p.down)]


def _clash(pieces: list[_Piece]) -> list[Problem]:
    """Say why the pieces of one version do not make up a migration."""
    kinds = sorted(piece.kind for piece in pieces)
    if set(kinds) == {_DOWN}:
        reason = "a down script without its up script: add the .up.sql, or delete it"
        return [Problem(piece.entry.origin, None, reason) for piece in pieces]
    if len(pieces) == 1:
        return []  # a folder, and it is known what is wrong in it
    names = " and ".join(repr(piece.entry.name) for piece in pieces)
    if kinds == [_DOWN, _UP]:
        reason = f"up and down script have different names: {names}. Rename one of them"
    elif kinds == [_DOWN, _SINGLE]:
        reason = f"{names} are no pair: give the up script the suffix .up.sql"
    else:
        reason = f"version {int(pieces[0].version)} is there twice: {names}. Rename one of them"
    spellings = {piece.entry.name for piece in pieces}
    if len({name.casefold() for name in spellings}) < len(spellings):
        reason += "; they differ only in case, and some file systems take them for one"
    return [Problem(pieces[0].entry.origin, None, reason)]
