"""What each command does: one call of the public API, and its answer for people and for programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from shlex import quote
from typing import Any

from sqlalchemy.engine import URL, Connection

from dbmigrate.arguments import check
from dbmigrate.cli import config
from dbmigrate.cli.call import Call, changed
from dbmigrate.cli.output import Answer, cell, duration, message, moment, next_of, table
from dbmigrate.connect import without_secrets
from dbmigrate.errors import ConfigurationError, MigrationError, counted
from dbmigrate.model import Report, Status

NOT_CURRENT = 3


def answer(call: Call) -> Answer:
    """Run a command."""
    return _COMMANDS[call.options.command](call)


# -- looking


def status(call: Call) -> Answer:
    """Show every migration."""
    return _status(call, call.migrator.status(), check=call.options.check)


def _status(call: Call, found: Status, *, check: bool = False) -> Answer:
    output, rows = call.output, list[Sequence[str]]()
    for entry in found.entries:
        record = entry.record
        when, who = (moment(record.finished_at or record.started_at), record.applied_by or "") if record else ("", "")
        note = type(entry.finding).__name__ if entry.finding else ""
        rows.append((entry.state, f"{entry.version}_{entry.name}", when, who, note))
    findings = [(type(finding).__name__, output.said(str(finding))) for finding in found.findings]
    counts = [f"{len(found.applied)} applied", f"{len(found.pending)} pending"]
    if unfinished := len(found.entries) - len(found.applied) - len(found.pending):
        counts.append(f"{unfinished} unfinished")
    kinds = [kind for kind, _ in findings if kind != "Unfinished"]
    counts += [f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))]
    lines = [
        *table(rows, output.paint, (0, 4)),
        *(f"{output.paint(kind)}: {said}" for kind, said in findings),
        *next_of(found.findings, output.prog, "\n".join(said for _, said in findings)),
        ", ".join(counts),
    ]
    return Answer(lines, found.to_dict(), NOT_CURRENT if check and not found.is_current else 0)


def plan(call: Call) -> Answer:
    """Show what upgrade would run."""
    found = call.migrator.plan(to=call.options.to)
    result = found.to_dict()
    code = NOT_CURRENT if call.options.check and found else 0
    if call.options.sql:
        result["sql"] = found.sql()
        return Answer([result["sql"].rstrip("\n")], result, code, is_script=True)
    steps = [(f"would {'apply' if s.direction == 'up' else 'revert'}", str(s.migration)) for s in found.steps]
    return Answer([f"{does} {cell(what)}" for does, what in steps] or ["nothing to run"], result, code)


def verify(call: Call) -> Answer:
    """Make sure that the database is current."""
    call.migrator.verify()
    return Answer(["the database is current"])


def wait(call: Call) -> Answer:
    """Wait until the database is current."""
    found = call.migrator.wait_until_current(call.options.timeout)
    return Answer(["the database is current"], found.to_dict())


def history(call: Call) -> Answer:
    """Show the ledger."""
    records = call.migrator.history()
    rows = list[Sequence[str]]()
    for r in records:
        ended = r.finished_at or r.started_at
        took = duration((r.finished_at - r.started_at).total_seconds()) if r.finished_at and r.started_at else ""
        rows.append((str(r.seq), moment(ended), r.action, str(r), took, r.applied_by or "", r.reason or ""))
    lines = table(rows) or ["nothing has happened yet"]
    return Answer(lines, {"format": 1, "type": "History", "records": [r.to_dict() for r in records]})


def validate(call: Call) -> Answer:
    """Check the files of the source."""
    if call.factory is None:
        with config.checked():
            migrator = call.settings.validator()
    else:
        migrator = call.migrator
    found = migrator.validate()
    lines = [f"{counted(len(found), 'migration')}, nothing wrong with their files"]
    said = Answer(lines, {"format": 1, "type": "Validation", "migrations": [m.to_dict() for m in found]})
    if not (call.options.replay or call.options.models):
        return said
    from dbmigrate.cli import shadows  # noqa: PLC0415 - other commands do not need it

    return shadows.validate(call, said)


def drift(call: Call) -> Answer:
    """Compare the database with what its migrations make."""
    from dbmigrate.cli import shadows  # noqa: PLC0415 - other commands do not need it

    return shadows.drift(call)


# -- running


def upgrade(call: Call) -> Answer:
    """Apply what is pending; the schema file stays as it is, and is checked, if that is asked for."""
    if not call.options.locked:
        return _report(call, call.migrator.upgrade(to=call.options.to))
    from dbmigrate.schema.file import difference  # noqa: PLC0415 - other commands do not need it

    path = _schema_file(call)
    with config.checked():
        difference(path, "")  # that it cannot be read is said before anything runs
    report = _report(call, changed(call.migrator, schema_file=None).upgrade(to=call.options.to))
    try:
        found = _checked(call, path)
    except MigrationError as error:
        error.add_note(f"{report.lines[0]} before this")
        raise
    return Answer([*report.lines, *found.lines], {**(report.result or {}), "schema": found.result}, found.code)


def downgrade(call: Call) -> Answer:
    """Take steps back."""
    return _report(call, call.migrator.downgrade(to=call.options.to, steps=call.options.steps))


def goto(call: Call) -> Answer:
    """Go up or down."""
    return _report(call, call.migrator.goto(call.options.to))


def redo(call: Call) -> Answer:
    """Take back and apply again."""
    return _report(call, call.migrator.redo(call.options.steps))


def resume(call: Call) -> Answer:
    """Go on with an unfinished step."""
    return _report(call, call.migrator.resume())


def _report(_: Call, report: Report) -> Answer:
    counts = [
        f"{count} {word}"
        for direction, word in (("up", "applied"), ("down", "reverted"))
        if (count := sum(outcome.step.direction == direction for outcome in report.outcomes))
    ]
    line = f"{', '.join(counts)} in {duration(report.seconds)}" if counts else "nothing to run"
    return Answer([line], report.to_dict())


# -- recording


def baseline(call: Call) -> Answer:
    """Record what was there before."""
    return _status(call, call.migrator.baseline(call.options.version, reason=call.options.reason))


def accept(call: Call) -> Answer:
    """Record that an edited script is right."""
    return _status(call, call.migrator.accept(call.options.version, reason=call.options.reason))


def resolve(call: Call) -> Answer:
    """Record what is true of an unfinished step."""
    options = call.options
    found = call.migrator.resolve(
        options.version, applied=options.applied, reason=options.reason, statement=options.statement
    )
    return _status(call, found)


# -- the schema


def schema(call: Call) -> Answer:
    """Show the schema as code, or compare a file with it."""
    options = call.options
    part = {"include": options.include, "exclude": options.exclude}
    if options.action == "check":
        return _checked(call, options.file or _schema_file(call), **part)
    from dbmigrate.schema.file import described_now  # noqa: PLC0415 - other commands do not need it

    found = described_now(call.migrator, sql=options.sql, **part)
    lines = [found.removesuffix("\n")] if found else []
    return Answer(lines, {"format": 1, "type": "Schema", "script": found}, is_script=True)


def _schema_file(call: Call) -> str:
    if call.migrator.schema_file is None:
        raise ConfigurationError("there is no schema file: say --schema-file FILE, or set schema_file. Nothing was run")
    return call.migrator.schema_file


def _checked(call: Call, path: str, **patterns: Collection[str]) -> Answer:
    from dbmigrate.schema.file import described_now, difference, is_sql  # noqa: PLC0415 - other commands do not need it

    check(schema_file=path)
    now = described_now(call.migrator, sql=is_sql(path), **patterns)
    with config.checked():
        found = difference(path, now)
    exists = os.path.exists(path)  # noqa: PTH110 - it is a text
    is_current = exists and not found
    result = {"format": 1, "type": "SchemaCheck", "path": path, "exists": exists, "is_current": is_current}
    result["diff"] = found
    if is_current:
        return Answer([cell(f"{path} is what the database gives")], result)
    words = ["--sql"] if is_sql(path) else []
    words += [f"--{name}={pattern}" for name, given in patterns.items() for pattern in given]
    command = " ".join([call.output.prog, "schema", "print", *map(quote, words), ">", quote(path)])
    what = "is not what the database gives. To write it anew" if exists else "does not exist. To write it"
    lines = [message(found.rstrip("\n"))] if found else []
    return Answer([*lines, cell(f"{path} {what}: {command}")], result, NOT_CURRENT)


# -- besides


def new(call: Call) -> Answer:
    """Write the files of the next migration."""
    from dbmigrate.cli import files  # noqa: PLC0415 - other commands do not need it

    options = call.options
    form = "directory" if options.directory else "single" if options.up_only else "python" if options.python else "pair"
    source, template = call.source, None
    if call.factory is None and call.settings["template"]:
        template = call.settings.path("template")
    try:
        made = files.write(source, options.name, form, sequential=options.sequential, template=template)
    except (OSError, ValueError) as error:  # no right to write there, a template or a path that is no text
        raise ConfigurationError(f"the migration cannot be written: {error}") from error
    result = {"format": 1, "type": "New", "version": made.version, "name": made.name, "paths": list(made.paths)}
    return Answer(list(map(cell, made.paths)), result)


def database(call: Call) -> Answer:
    """Create or drop the database."""
    from dbmigrate import database as databases  # noqa: PLC0415 - other commands do not need it

    action, url, options = call.options.action, call.url, call.options
    if call.factory is not None and isinstance(call.migrator.database, Connection):
        raise ConfigurationError("databases are not created or dropped over a Connection: give a Migrator of its URL")
    name = without_secrets(url)
    result: dict[str, Any] = {"format": 1, "type": "Database", "database": name, "dropped": False, "created": False}
    if action in ("drop", "reset"):
        _refuse_protected(call, url, name)
    if action in ("setup", "reset"):
        _prepare(call, result)
    if action in ("drop", "reset") and not options.yes:
        otherwise = "nothing was dropped"
        if not call.output.asks(f"drop {name}, and everything in it?", otherwise):
            raise MigrationError(f"not confirmed: {otherwise}")
    with _told(result):
        if action in ("drop", "reset"):
            result["dropped"] = None  # from here on it is not certain
            result["dropped"] = databases.drop(url, force=options.force)
            call.output.line(f"{'dropped' if result['dropped'] else 'there was no'} {name}")
        if action != "drop":
            result["created"] = None
            result["created"] = databases.create(url)
            call.output.line(f"{'created' if result['created'] else 'there is already'} {name}")
        if action not in ("setup", "reset"):
            return Answer([], result)
        report = _report(call, call.migrator.upgrade())
    return replace(report, result={**result, "report": report.result})


def _refuse_protected(call: Call, url: URL, name: str) -> None:
    with config.checked():
        place = call.settings.protector(url) if call.factory is None else None
    if place:
        raise ConfigurationError(f"{name} is protected by {place}: not dropped")


def _prepare(call: Call, result: dict[str, Any]) -> None:
    """Make sure that what is about to be created can be upgraded; nothing is dropped for scripts that cannot run."""
    from dbmigrate.cli import files  # noqa: PLC0415 - other commands do not need it

    migrator = call.migrator
    if call.options.action == "setup" and (made := files.make_folder(migrator.source)):
        result["folder"] = made
        call.output.line(f"made the folder {made}")
    migrator.validate()


@contextmanager
def _told(result: dict[str, Any]) -> Generator[None]:
    """Have whatever ends the command say what had been done to the database before."""
    try:
        yield
    except BaseException as error:
        if done := " and ".join(word for word in ("dropped", "created") if result[word]):
            error.add_note(f"the database was {done} before this")
        if isinstance(error, KeyboardInterrupt):  # other errors say it themselves
            for word in ("dropped", "created"):
                if result[word] is None:
                    error.add_note(f"whether the database was {word} is not certain")
        raise


def configuration(call: Call) -> Answer:
    """Show every setting."""
    rows = call.settings.shown() if call.factory is None else config.shown(call.migrator)
    lines = table([(row["name"], config.text(row["value"]), row["origin"]) for row in rows])
    return Answer(lines, {"format": 1, "type": "Configuration", "settings": rows})


def completions(call: Call) -> Answer:
    """Print what makes a shell complete."""
    from dbmigrate.cli import completion  # noqa: PLC0415 - other commands do not need it

    if call.options.shell != "words":
        script = completion.script(call.options.shell, call.output.prog)
        return Answer([script], {"format": 1, "type": "Completions", "script": script}, is_script=True)

    def versions() -> list[str]:
        return [migration.version for migration in call.source.load()]

    line, prog = os.environ.get("COMP_LINE", ""), call.output.prog
    return Answer(completion.words(prog, line, versions, configured=call.factory is None), is_script=True)


_COMMANDS: dict[str, Callable[[Call], Answer]] = {
    **{f.__name__: f for f in (status, plan, verify, wait, history, validate, drift)},
    **{f.__name__: f for f in (upgrade, downgrade, goto, redo, resume, baseline, accept, resolve)},
    "schema": schema,
    **{f.__name__: f for f in (new, database, completions)},
    "config": configuration,
}
