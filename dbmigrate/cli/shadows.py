"""What the commands do that need a shadow database: drift, and validate with --replay or --models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.engine import Connection

from dbmigrate import shadow
from dbmigrate.catalogue import Change
from dbmigrate.cli.call import Call
from dbmigrate.cli.output import Answer, cell
from dbmigrate.dialects.base import send
from dbmigrate.errors import ConfigurationError, counted
from dbmigrate.scanner import ScriptError, statements

DIFFERS = 3


def drift(call: Call) -> Answer:
    """Show what in the database is not as its migrations make it."""
    found = shadow.drift(call.migrator, **_arguments(call))
    lines = _lines(found) or ["the database is as its migrations make it"]
    if found:
        lines.append(f"{counted(len(found), 'difference')} between what the migrations make and what is there")
        lines.append("undo it, write a migration that makes it, or leave out what others make: --exclude")
    result = {"format": 1, "type": "Drift", "changes": [change.to_dict() for change in found]}
    return Answer(lines, result, DIFFERS if found else 0)


def validate(call: Call, answer: Answer) -> Answer:
    """Add to what `validate` has to say what came out in a shadow database."""
    lines, result, code = list(answer.lines), dict(answer.result or {}), answer.code
    if call.options.replay:
        replayed = shadow.replay(call.migrator, **_arguments(call))
        result["replayed"] = [done.to_dict() for done in replayed]
        for done in replayed:
            lines += _replayed(done)
        bad = [done for done in replayed if done.trouble]
        lines.append(
            f"{counted(len(replayed), 'migration')} applied from zero, {len(bad)} with a way back that is none"
        )
        code = code or (DIFFERS if bad else 0)
    if call.options.models:
        differing = shadow.compare_models(call.migrator, _metadata(call.options.models), **_arguments(call))
        result["models"] = [change.to_dict() for change in differing]
        models = cell(call.options.models)
        if differing:
            lines.append(f"{models} differs from what the migrations make:")
        lines += [f"    {line}" for line in _lines(differing)]
        lines.append(f"{counted(len(differing), 'difference')} between {models} and what the migrations make")
        code = code or (DIFFERS if differing else 0)
    return Answer(lines, result, code)


def _replayed(done: shadow.Replayed) -> list[str]:
    name, lines = cell(str(done.migration)), list[str]()
    if done.destroyed:
        lines.append(f"{name}: up destroys {', '.join(map(cell, done.destroyed))} with all that is in it")
    if done.migration.down is None:
        return [*lines, f"{name}: has no way back"]
    if done.lost:
        lines.append(f"{name}: down loses {', '.join(map(cell, done.lost))}")
    if done.trouble:
        first, *rest = done.trouble.split("\n")
        lines += [f"{name}: NOT REVERSIBLE: {cell(first)}", *(f"    {cell(line)}" for line in rest)]
    return lines


def _lines(changes: Sequence[Change]) -> list[str]:
    return [cell(line) for change in changes for line in str(change).split("\n")]


def _arguments(call: Call) -> dict[str, Any]:
    """Return what the options say of the shadow database."""
    options = call.options
    prepare = None if options.prepare is None else _prepare(call, Path(options.prepare))
    return {"exclude": options.exclude or (), "shadow_url": options.shadow_url, "prepare": prepare}


def _prepare(call: Call, path: Path) -> Callable[[Connection], None]:
    try:
        text = path.read_text(encoding="utf-8")
        found = list(statements(text, call.migrator.dialect.grammar))
    except (OSError, ValueError) as error:
        reason = f"{path}: {error}" if isinstance(error, ScriptError) else f"{path} cannot be read: {error}"
        raise ConfigurationError(f"{reason}. Nothing was run") from error

    def prepare(connection: Connection) -> None:
        for statement in found:
            try:
                send(connection, statement.text)
            except Exception as error:
                where = f"{path}:{statement.line}:{statement.column}"
                raise ConfigurationError(f"{where}: this cannot be run in the shadow database: {error}") from error

    return prepare


def _metadata(place: str) -> MetaData:
    """Return what `package.module:name` names: a MetaData, or what has one, as a declarative base."""
    module, _, name = place.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    try:
        found: Any = import_module(module)
        for part in (name or "metadata").split("."):
            found = getattr(found, part)
    except Exception as error:
        reason = f"{place}: {type(error).__name__}: {error}"
        raise ConfigurationError(
            f"there are no models to compare with: {reason}. Name them as in shop.models:Base"
        ) from error
    found = getattr(found, "metadata", found)
    if not isinstance(found, MetaData):
        raise ConfigurationError(f"{place} is a {type(found).__name__}, no MetaData, and has none. Nothing was run")
    return found
