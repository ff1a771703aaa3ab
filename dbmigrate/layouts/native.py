"""The native layout: flat up/down pairs, flat single files and Diesel's folders, mixed as you like.

    20261123101500_add_users.up.sql     a pair, as SQLx and golang-migrate have it
    20261123101500_add_users.down.sql
    20261123102000_add_email.sql        one file, up only
    20261123103000_backfill.py          def upgrade(connection), optional def downgrade(connection)
    20261123104000_add_index/           as Diesel has it
        up.sql  down.sql  metadata.toml

Versions are digits and ordered as integers; dashes in them are dropped, as Diesel does. What looks like a migration
and is not one is a problem: a file that begins with a digit or ends in .sql, a folder that begins with a digit or has
an up.sql or down.sql. README, dot files, editor backups and empty folders are passed over.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from dbmigrate.errors import SourceError
from dbmigrate.layouts.folder import UNFIT, Entry, down_body, fits, unreadable, up_body
from dbmigrate.model import Body, Migration
from dbmigrate.python import bodies
from dbmigrate.script import Problem

# The ledger holds versions of 255 characters; and int() takes no more than 4,300 digits.
_VERSION = r"([0-9][0-9-]{0,254})"
_SCRIPT = re.compile(rf"{_VERSION}_([^.].*?)((?i:(?:\.up|\.down)?\.sql))", re.DOTALL)
_PYTHON = re.compile(rf"{_VERSION}_([^.].*)\.py", re.DOTALL)
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


def read(entries: Iterable[Entry]) -> tuple[list[Migration], list[Problem]]:
    """Return the migrations of a folder in history order, and everything that is wrong with it."""
    problems: list[Problem] = []
    pieces: dict[int, list[_Piece]] = {}
    for entry in entries:
        piece = (_folder if entry.is_folder else _script)(entry, problems)
        if piece is not None:
            pieces.setdefault(int(piece.version), []).append(piece)
            if not fits(piece.name):
                problems.append(entry.problem(f"the name {UNFIT}"))
    found = [_put_together(pieces[version], problems) for version in sorted(pieces)]
    if problems:  # then all of them: also what would be found only when a down script is read
        down = (piece.down for parts in pieces.values() for piece in parts)
        problems[:0] = [problem for body in down if body is not None for problem in unreadable(body)]
    problems.sort(key=lambda problem: problem.origin)
    return [migration for migration in found if migration is not None], problems


def _script(entry: Entry, problems: list[Problem]) -> _Piece | None:
    """Return what a file has of a migration; say what keeps it from being one, if it looks like one."""
    found = _SCRIPT.fullmatch(entry.name)
    if found is None and (python := _PYTHON.fullmatch(entry.name)):
        return _Piece(".py", python[1].replace("-", ""), python[2], entry, *bodies(entry, problems))
    if found is None:
        name, is_sql = entry.name, entry.name.lower().endswith(".sql")
        if not _is_passed_over(name) and (is_sql or name[:1].isdigit()):
            reason = "not a migration by its suffix, .up.sql, .down.sql, .sql or .py: rename it, or move it elsewhere"
            if is_sql:
                reason = "not a migration by its name: call it <digits>_<name>.sql, or move it elsewhere"
            problems.append(entry.problem(entry.defect or reason))
        return None
    version, name, kind = found.groups()
    if kind not in _SUFFIXES:
        kind = kind.lower()
        problems.append(entry.problem(f"write the suffix in lower case: {kind}"))
    if name.lower().endswith((".up", ".down", ".sql")):
        problems.append(entry.problem("two suffixes: leave one of them out"))
    version = version.replace("-", "")
    if kind == _DOWN:
        return _Piece(kind, version, name, entry, None, down_body(entry, problems))
    return _Piece(kind, version, name, entry, up_body(entry, problems), None)


def _is_passed_over(name: str) -> bool:
    return name.startswith((".", "#")) or name.endswith(_BACKUPS)


def _folder(entry: Entry, problems: list[Problem]) -> _Piece | None:
    if entry.name.startswith("."):
        return None
    files: dict[str, Entry] = {}
    defect = entry.defect
    if defect is None:
        try:
            inside = entry.parent.folder(entry.name).entries()
            files = {file.name: file for file in inside if not _is_passed_over(file.name)}
        except SourceError as error:
            defect = error.reason
    has_scripts = any(name.lower() in ("up.sql", "down.sql") for name in files)
    if not has_scripts and not (entry.name[:1].isdigit() and (files or defect)):
        return None
    if defect is not None:
        problems.append(entry.problem(defect))
    found = _FOLDER.fullmatch(entry.name)
    if found is None:
        problems.append(entry.problem("not a migration by its name: call it <digits>_<name>, or move it elsewhere"))
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
        problems.append(file.problem(reason))
    up, down, metadata = (files.get(name) for name in _FILES)
    transaction = metadata is None or _run_in_transaction(metadata, problems)
    if up is None:
        problems.append(entry.problem("there is no up.sql in it: add one, or delete the folder"))
    return (
        up and up_body(up, problems, transaction=transaction),
        down and down_body(down, problems, transaction=transaction),
    )


def _run_in_transaction(entry: Entry, problems: list[Problem]) -> bool:
    """Read Diesel's metadata.toml, whose one key is `run_in_transaction`.

    Diesel takes a file without that key for false and one that does not parse for true; both surprise, so both are
    problems here.
    """
    _, text, defect = entry.read()
    try:
        value = tomllib.loads(text).get("run_in_transaction")
    except (ValueError, RecursionError) as error:
        value, defect = None, f"not TOML: {error}"
    if isinstance(value, bool):
        return value
    problems.append(entry.problem(defect or "say run_in_transaction = true or false, or delete the file"))
    return True


def _put_together(pieces: list[_Piece], problems: list[Problem]) -> Migration | None:
    """Return the migration that the pieces of one version make up, or say why they make up none."""
    pieces.sort(key=attrgetter("kind"))  # down, single, up, folder
    kinds = [piece.kind for piece in pieces]
    down, up = pieces[0], pieces[-1]
    is_pair = kinds == [_DOWN, _UP] and (up.version, up.name) == (down.version, down.name)
    if up.up is not None and (is_pair or len(pieces) == 1):
        return Migration(up.version, up.name, up.up, down.down)
    entries = sorted((piece.entry for piece in pieces), key=lambda entry: entry.name)
    if set(kinds) == {_DOWN}:
        reason = "a down script without its up script: add the .up.sql, or delete it"
        problems += [entry.problem(reason) for entry in entries]
    elif len(pieces) > 1:  # else it is a folder, and it is known what is wrong in it
        names = " and ".join(repr(entry.name) for entry in entries)
        reason = f"version {int(up.version)} is there twice: {names}. Rename one of them"
        if kinds == [_DOWN, _UP]:
            reason = f"up and down script have different names: {names}. Rename one of them"
        elif kinds == [_DOWN, _SINGLE]:
            reason = f"{names} are no pair: give the up script the suffix .up.sql"
        spellings = {entry.name for entry in entries}
        if len({name.casefold() for name in spellings}) < len(spellings):
            reason += "; they differ only in case, and some file systems take them for one"
        problems.append(entries[0].problem(reason))
    return None
