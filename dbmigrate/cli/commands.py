"""What each command does: one call of the public API, and its answer for people and for programs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy.engine import URL

from dbmigrate.cli import config
from dbmigrate.cli.output import Answer, Output, duration, moment, table
from dbmigrate.connect import without_secrets
from dbmigrate.errors import ConfigurationError, MigrationError, counted
from dbmigrate.migrator import Migrator
from dbmigrate.model import Event, Report, Status, Step, StepFinished, StepStarted

NOT_CURRENT = 3


class Interrupted(MigrationError):
    """A signal ended the command."""


class Call:
    """One command: its options, and what it works with, made when it is needed."""

    def __init__(self, options: argparse.Namespace, output: Output, factory: Callable[[], Migrator] | None) -> None:
        self.options, self.output, self.factory = options, output, factory
        self._running: Step | None = None
        self._ended = 0

    def answer(self) -> Answer:
        """Run the command."""
        return _COMMANDS[self.options.command](self)

    @cached_property
    def settings(self) -> config.Settings:
        """What options, environment and file say."""
        settings = config.read(vars(self.options), os.environ)
        for warning in settings.warnings:
            self.output.warn(warning)
        return settings

    @cached_property
    def migrator(self) -> Migrator:
        """The Migrator of the application, or of the settings, with the options of this call."""
        if self.factory is None:
            return self.attended(self.settings.migrator())
        try:
            migrator = self.factory()
        except MigrationError:
            raise
        except Exception as error:
            self.output.traceback(error)
            reason = f"the application cannot say what to migrate: {type(error).__name__}: {error}. Nothing was run"
            raise ConfigurationError(reason) from error
        return self.attended(replace(migrator, **config.run_settings(vars(self.options))))

    def attended(self, migrator: Migrator) -> Migrator:
        """Return a Migrator whose events are shown."""
        listener = migrator.on_event

        def on_event(event: Event) -> None:
            if listener is not None:
                listener(event)
            if isinstance(event, StepStarted):
                self._running = event.step
            elif isinstance(event, StepFinished):
                self._running, self._ended = None, self._ended + 1
            self.output.event(event)

        return replace(migrator, on_event=on_event)

    @property
    def url(self) -> URL:
        """The URL of the database."""
        return self.settings.url if self.factory is None else self.migrator.url

    def left(self, number: int) -> str:
        """Say what a run that was interrupted leaves in the database."""
        import signal  # noqa: PLC0415 - only here

        said = f"interrupted by {signal.Signals(number).name}; {counted(self._ended, 'step')} of this call committed"
        step = self._running
        if step is None:
            return said
        try:
            entries = replace(self.migrator, acquire_timeout=1.0).status().entries
            state = next(e.state for e in entries if e.version == step.migration.version)
        except (MigrationError, KeyboardInterrupt, StopIteration):
            return f"{said}; {step} was running: see {self.output.prog} status"
        before = "pending" if step.direction == "up" else "applied"
        if state == "unfinished":
            return f"{said}; {step} is unfinished: see {self.output.prog} status"
        return f"{said}; {step} was {'rolled back: nothing of it is left' if state == before else 'committed too'}"


# -- looking


def status(call: Call) -> Answer:
    """Show every migration."""
    return _status(call, call.migrator.status(), check=call.options.check)


def _status(call: Call, found: Status, *, check: bool = False) -> Answer:
    paint, rows = call.output.paint, list[Sequence[str]]()
    for entry in found.entries:
        record = entry.record
        when, who = (moment(record.finished_at or record.started_at), record.applied_by or "") if record else ("", "")
        note = type(entry.finding).__name__ if entry.finding else ""
        rows.append((paint(entry.state), f"{entry.version}_{entry.name}", when, who, paint(note)))
    counts = [f"{len(found.applied)} applied", f"{len(found.pending)} pending"]
    if unfinished := len(found.entries) - len(found.applied) - len(found.pending):
        counts.append(f"{unfinished} unfinished")
    lines = [*table(rows), *(f"{paint(type(f).__name__)}: {f}" for f in found.findings), ", ".join(counts)]
    return Answer(lines, found.to_dict(), NOT_CURRENT if check and not found.is_current else 0)


def plan(call: Call) -> Answer:
    """Show what upgrade would run."""
    found = call.migrator.plan(to=call.options.to)
    lines = [f"would {'apply' if s.direction == 'up' else 'revert'} {s.migration}" for s in found.steps]
    result = found.to_dict()
    if call.options.sql:
        result["sql"] = found.sql()
        lines = [result["sql"].rstrip("\n")]
    elif not lines:
        lines = ["nothing to run"]
    return Answer(lines, result, NOT_CURRENT if call.options.check and found else 0)


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
    found = (call.migrator if call.factory is not None else call.settings.validator()).validate()
    lines = [f"{counted(len(found), 'migration')}, nothing wrong with their files"]
    return Answer(lines, {"format": 1, "type": "Validation", "migrations": [m.to_dict() for m in found]})


# -- running


def upgrade(call: Call) -> Answer:
    """Apply what is pending."""
    return _report(call, call.migrator.upgrade(to=call.options.to))


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


# -- besides


def new(call: Call) -> Answer:
    """Write the files of the next migration."""
    from dbmigrate.cli import files  # noqa: PLC0415 - other commands do not need it

    options = call.options
    source = call.settings.source if call.factory is None else call.migrator.source
    form = "directory" if options.directory else "single" if options.up_only else "python" if options.python else "pair"
    template = call.settings.path("template") if call.factory is None and call.settings["template"] else None
    try:
        made = files.write(source, options.name, form, sequential=options.sequential, template=template)
    except (
        OSError,
        UnicodeDecodeError,
    ) as error:  # no right to write there, a template that is no text
        raise ConfigurationError(f"the migration cannot be written: {error}") from error
    result = {"format": 1, "type": "New", "version": made.version, "name": made.name, "paths": list(made.paths)}
    return Answer(made.paths, result)


def database(call: Call) -> Answer:
    """Create or drop the database."""
    from dbmigrate import database as databases  # noqa: PLC0415 - other commands do not need it

    action, url, options = call.options.action, call.url, call.options
    name = without_secrets(url)
    result: dict[str, Any] = {"format": 1, "type": "Database", "database": name, "dropped": False, "created": False}
    lines = list[str]()
    if action in ("drop", "reset"):
        if call.factory is None and (place := call.settings.protector(url)):
            raise ConfigurationError(f"{name} is protected by {place}: not dropped")
        if not options.yes and not call.output.asks(f"drop {name}, and everything in it?"):
            raise MigrationError("not confirmed: nothing was dropped")
        result["dropped"] = databases.drop(url, force=options.force)
        lines.append(f"{'dropped' if result['dropped'] else 'there was no'} {name}")
    if action != "drop":
        result["created"] = databases.create(url)
        lines.append(f"{'created' if result['created'] else 'there is already'} {name}")
    for line in lines:
        call.output.line(line)
    if action not in ("setup", "reset"):
        return Answer([], result)
    report = _report(call, call.migrator.upgrade())
    return replace(report, result={**result, "report": report.result})


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
        return Answer([script], {"format": 1, "type": "Completions", "script": script})

    def versions() -> list[str]:
        source = call.settings.source if call.factory is None else call.migrator.source
        return [migration.version for migration in source.load()]

    line, prog = os.environ.get("COMP_LINE", ""), call.output.prog
    return Answer(completion.words(prog, line, versions, configured=call.factory is None))


_COMMANDS: dict[str, Callable[[Call], Answer]] = {
    **{f.__name__: f for f in (status, plan, verify, wait, history, validate)},
    **{f.__name__: f for f in (upgrade, downgrade, goto, redo, resume, baseline, accept, resolve)},
    **{f.__name__: f for f in (new, database, completions)},
    "config": configuration,
}
