"""One command: its options, and what it works with, made when it is needed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from sqlalchemy.engine import URL

from dbmigrate.cli import config
from dbmigrate.cli.output import Output
from dbmigrate.errors import ConfigurationError, MigrationError, counted
from dbmigrate.migrator import Migrator
from dbmigrate.model import Event, Step, StepFinished, StepStarted
from dbmigrate.source import Source


class Interrupted(MigrationError):
    """A signal ended the command."""


class Call:
    """One command: its options, and what it works with, made when it is needed."""

    def __init__(self, options: argparse.Namespace, output: Output, factory: Callable[[], Migrator] | None) -> None:
        self.options, self.output, self.factory = options, output, factory
        self._running: Step | None = None
        self._ended = 0

    @cached_property
    def settings(self) -> config.Settings:
        """What options, environment and file say."""
        with config.checked():
            settings = config.read(vars(self.options), os.environ)
        if not self.is_silent:
            for warning in settings.warnings:
                self.output.warn(warning)
        return settings

    @cached_property
    def migrator(self) -> Migrator:
        """The Migrator of the application, or of the settings, with the options of this call."""
        if self.factory is None:
            with config.checked():
                return self.attended(self.settings.migrator())
        return self.attended(changed(self._of_application(self.factory), **config.run_settings(vars(self.options))))

    @property
    def is_silent(self) -> bool:
        """A shell asked, because a key was pressed: there is no place for a message."""
        return getattr(self.options, "shell", None) == "words"

    def _of_application(self, factory: Callable[[], Migrator]) -> Migrator:
        """Return what the application's function returns. Raises ConfigurationError if it cannot be used."""
        try:
            migrator = cast("object", factory())
        except (MigrationError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if not self.is_silent:
                self.output.traceback(error)
            reason = f"the application cannot say what to migrate: {type(error).__name__}: {error}. Nothing was run"
            raise ConfigurationError(reason) from error
        if not isinstance(migrator, Migrator):
            raise ConfigurationError(f"the application's function returned {type(migrator).__name__}, not a Migrator")
        return migrator

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

        return changed(migrator, on_event=on_event)

    @property
    def url(self) -> URL:
        """The URL of the database."""
        if self.factory is not None:
            return self.migrator.url
        with config.checked():
            return self.settings.url

    @property
    def source(self) -> Source:
        """What the migrations come from, where no database is needed."""
        if self.factory is not None:
            return self.migrator.source
        with config.checked():
            return self.settings.source

    def interrupted(self, number: int) -> str:
        """Say how far a run came."""
        import signal  # noqa: PLC0415 - only here

        return f"interrupted by {signal.Signals(number).name}; {counted(self._ended, 'step')} of this call committed"

    def left(self, number: int) -> str:
        """Say what a run that was interrupted leaves in the database."""
        said = self.interrupted(number)
        step = self._running
        if step is None:
            return said
        try:
            entries = changed(self.migrator, acquire_timeout=1.0).status().entries
            state = next(e.state for e in entries if e.version == step.migration.version)
        except (MigrationError, KeyboardInterrupt, StopIteration):
            return f"{said}; {step} was running: see {self.output.prog} status"
        before = "pending" if step.direction == "up" else "applied"
        if state == "unfinished":
            return f"{said}; {step} is unfinished: see {self.output.prog} status"
        return f"{said}; {step} was {'rolled back: nothing of it is left' if state == before else 'committed too'}"


def changed(migrator: Migrator, **values: Any) -> Migrator:  # noqa: ANN401 - as its constructor has them
    """Return a Migrator with other values; over a Connection the dialect is made anew, from the one that it was."""
    return replace(migrator, **{"dialect": migrator.dialect.own, **values})
