"""The native layout: flat up/down pairs, flat single files and Diesel's folders, mixed as you like.

    20261123101500_add_users.up.sql     a pair, as SQLx and golang-migrate have it
    20261123101500_add_users.down.sql
    20261123102000_add_email.sql        one file, up only
    20261123104000_add_index/           as Diesel has it
        up.sql  down.sql  metadata.toml

Versions are digits and ordered as integers; dashes in them are dropped, as Diesel does. What looks like a migration
and is not one is a problem; README, dot files and editor backups are passed over.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from dbmigrate.layouts.folder import body
from dbmigrate.model import Migration
from dbmigrate.script import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate.layouts.folder import Entry, Folder
    from dbmigrate.model import Body

_NAME = re.compile(r"(?P<version>[0-9][0-9-]*)_(?P<name>.+)", re.DOTALL)
_KINDS = ((".up.sql", "up"), (".down.sql", "down"), (".sql", "single"))
_BACKUPS = ("~", ".bak", ".orig", ".rej", ".swp", ".swo", ".tmp", "#")
_EXPECTED = "call it <digits>_<name>"


class _Piece(NamedTuple):
    kind: str
    version: str
    name: str
    entry: Entry


def read(folder: Folder) -> tuple[list[Migration], list[Problem]]:
    """Return the migrations of a folder in history order, and everything that is wrong with it."""
    problems: list[Problem] = []
    entries = [entry for entry in folder.entries() if not _passed_over(entry.name)]
    _check_case(entries, problems)
    pieces: dict[int, list[_Piece]] = {}
    for entry in entries:
        piece = _piece(entry, problems)
        if piece is not None:
            pieces.setdefault(int(piece.version), []).append(piece)
    migrations = [m for version in sorted(pieces) if (m := _migration(pieces[version], problems)) is not None]
    return migrations, problems


def _passed_over(name: str) -> bool:
    return name.startswith((".", "#")) or name.endswith(_BACKUPS) or name == "__pycache__"


def _check_case(entries: Sequence[Entry], problems: list[Problem]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        twin = seen.setdefault(entry.name.casefold(), entry)
        if twin is not entry:
            reason = f"differs from {twin.name!r} only in case; some file systems take them for one: rename one of them"
            problems.append(Problem(entry.origin, None, reason))


def _piece(entry: Entry, problems: list[Problem]) -> _Piece | None:
    """Return what an entry is; None if it is nothing of ours, or a problem."""
    name = entry.name
    if not name.isprintable():
        problems.append(Problem(entry.origin, None, "the name has characters that cannot be read: rename it"))
        return None
    looks_versioned = name[0] in "0123456789"
    if entry.folder is not None:
        stem, kind = name, "folder"
        inside = {child.name.lower() for child in entry.folder.entries()} if entry.defect is None else set[str]()
        ours = bool(inside & {"up.sql", "down.sql"}) or (looks_versioned and (inside or entry.defect))
    else:
        lower = name.lower()
        suffix, kind = next(((s, k) for s, k in _KINDS if lower.endswith(s)), ("", ""))
        stem = name[: -len(suffix)] if suffix else name
        ours = looks_versioned or bool(suffix)
        if ours and not name.endswith(suffix or "\0"):
            problems.append(Problem(entry.origin, None, _unknown_suffix(name, suffix)))
            return None
    if not ours:
        return None
    if entry.defect is not None:
        problems.append(Problem(entry.origin, None, entry.defect))
        return None
    found = _NAME.fullmatch(stem)
    if found is None:
        reason = f"no version in the name: {_EXPECTED}{'' if kind == 'folder' else '.sql'}, or move it elsewhere"
        problems.append(Problem(entry.origin, None, reason))
        return None
    return _Piece(kind, found["version"].replace("-", ""), found["name"], entry)


def _unknown_suffix(name: str, suffix: str) -> str:
    if suffix:
        return f"write the suffix in lower case: {suffix}"
    if name.endswith(".py"):
        return "migrations in Python are not supported by this version of dbmigrate: write SQL"
    return "not a migration by its suffix: .up.sql, .down.sql or .sql; rename it, or move it elsewhere"


def _migration(pieces: list[_Piece], problems: list[Problem]) -> Migration | None:
    """Return the migration that the pieces of one version make up."""
    first, *others = sorted(pieces, key=lambda piece: (piece.kind == "down", piece.entry.name))
    second = others[0] if others else None
    if first.kind == "down":
        reason = "a down script without its up script: add the .up.sql, or delete it"
        problems += [Problem(piece.entry.origin, None, reason) for piece in pieces]
        return None
    is_pair = second is not None and len(pieces) == 2 and (first.kind, second.kind) == ("up", "down")  # noqa: PLR2004
    if second is not None and (not is_pair or (first.version, first.name) != (second.version, second.name)):
        what = "up and down script have different names" if is_pair else f"version {first.version} is there twice"
        names = " and ".join(repr(piece.entry.name) for piece in (first, *others))
        problems.append(Problem(first.entry.origin, None, f"{what}: {names}. Rename one of them"))
        return None
    if first.kind == "folder":
        return _from_folder(first, problems)
    down = body(second.entry, problems, may_be_blank=True) if second is not None else None
    return Migration(first.version, first.name, body(first.entry, problems), down)


def _from_folder(piece: _Piece, problems: list[Problem]) -> Migration | None:
    assert piece.entry.folder is not None  # noqa: S101 - that is what makes it a folder
    children = [child for child in piece.entry.folder.entries() if not _passed_over(child.name)]
    count = len(problems)
    _check_case(children, problems)
    found: dict[str, Entry] = {}
    for child in children:
        if child.name in ("up.sql", "down.sql", "metadata.toml"):
            found[child.name] = child
            if child.folder is not None or child.defect is not None:
                problems.append(Problem(child.origin, None, child.defect or "a folder where a file should be"))
        elif child.name.lower().endswith((".sql", ".py", ".toml")):
            reason = "a migration's folder has up.sql, down.sql and metadata.toml: rename it, or move it elsewhere"
            problems.append(Problem(child.origin, None, reason))
    if "up.sql" not in found and len(problems) == count:
        problems.append(Problem(piece.entry.origin, None, "there is no up.sql in it: add one, or delete the folder"))
    if len(problems) > count:
        return None
    transaction = "metadata.toml" not in found or _run_in_transaction(found["metadata.toml"], problems)
    down: Body | None = None
    if "down.sql" in found:
        down = body(found["down.sql"], problems, transaction=transaction, may_be_blank=True)
    up = body(found["up.sql"], problems, transaction=transaction)
    return Migration(piece.version, piece.name, up, down)


def _run_in_transaction(entry: Entry, problems: list[Problem]) -> bool:
    """Read Diesel's metadata.toml, whose one key is `run_in_transaction`.

    Diesel takes a file without that key for false and one that does not parse for true; both surprise, so both are
    problems here.
    """
    try:
        value = tomllib.loads(entry.read().decode()).get("run_in_transaction")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(Problem(entry.origin, None, f"cannot be read: {error}"))
        return True
    if not isinstance(value, bool):
        problems.append(Problem(entry.origin, None, "say run_in_transaction = true or false, or delete the file"))
        return True
    return value
