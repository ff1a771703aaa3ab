"""The command line as people and programs start it: in a process of its own, over a pipe or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import ioctl
from typing import TYPE_CHECKING, Any, Final, TextIO

from tests.processes import Command

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from _typeshed import StrPath

#: No command of a test takes longer than that, in seconds.
PATIENCE = 60.0

#: What an application's own environment could say to a command line.
_OURS = ("DATABASE_URL", "DBMIGRATE_PROFILE", "NO_COLOR", "CI", "COMP_LINE", "COLUMNS", "LINES")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of the suite, without what a command line reads from it."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {**kept, "TERM": "xterm-256color", **(more or {})}


#: The command line with an interpreter of its own, from the first instant on.
EXECUTED: Final = (sys.executable, "-m", "dbmigrate")


@dataclass(frozen=True)
class Running:
    """A program that was started over pipes."""

    process: Command | subprocess.Popen[bytes]
    said: TextIO
    complained: TextIO

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        with _impatience(self.process), self.said, self.complained, ThreadPoolExecutor(1) as reader:
            complaints = reader.submit(self.complained.read)
            said = self.said.read()
            return subprocess.CompletedProcess((), self.process.wait(PATIENCE), said, complaints.result())


@contextmanager
def _impatience(process: Command | subprocess.Popen[bytes]) -> Generator[None]:
    """Kill it when it takes too long."""
    assert process.pid is not None
    timer = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@dataclass(frozen=True)
class Program:
    """A program in a folder, with variables of its own: a command; or a script, or `python -m dbmigrate`, forked."""

    folder: Path
    command: tuple[StrPath, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    script: str | None = None

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it over pipes."""
        return self.start(*words, **variables).finish()

    def json(self, *words: str, code: int = 0, **variables: str) -> Any:
        """Run it with --json; return the one object on its stdout."""
        done = self(*words, "--json", **variables)
        assert done.returncode == code, done.stdout + done.stderr
        found = json.loads(done.stdout)
        assert list(found) == ["format", "command", "exit_code", "result", "error"]
        assert (found["format"], found["exit_code"]) == (1, code)
        assert (found["error"] is None) == (found["result"] is not None or not code)
        return found

    def start(self, *words: str, **variables: str) -> Running:
        """Start it over pipes."""
        said, stdout = os.pipe()
        complained, stderr = os.pipe()
        stdin = os.open(os.devnull, os.O_RDONLY)
        process = self._start(words, variables, (stdin, stdout, stderr))
        for file in (stdin, stdout, stderr):
            os.close(file)
        return Running(process, os.fdopen(said, encoding="utf-8"), os.fdopen(complained, encoding="utf-8"))

    def _start(
        self, words: Sequence[str], variables: Mapping[str, str], files: tuple[int, int, int]
    ) -> Command | subprocess.Popen[bytes]:
        full = environment({**self.variables, **variables})
        if not self.command:
            return Command(words, self.folder, full, files, self.script)
        stdin, stdout, stderr = files
        # A suite that runs in the background is deaf to Ctrl-C, and so would be what it starts.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [*self.command, *words],
                cwd=self.folder,
                env=full,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def on_terminal(self, *words: str, typed: Mapping[str, str] | None = None, **variables: str) -> tuple[str, int]:
        """Run it on a terminal; return all that is written there, and the exit code.

        `typed`: what to type once some text is there.
        """
        waiting = dict(typed or {})
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = self._start(words, variables, (theirs, theirs, theirs))
        os.close(theirs)
        seen = b""
        try:
            with _impatience(process):
                while piece := _piece(ours):
                    seen += piece
                    for text in [text for text in waiting if text.encode() in seen]:
                        os.write(ours, waiting.pop(text).encode())
                return seen.decode(), process.wait(PATIENCE)
        finally:
            os.close(ours)


def _piece(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the other end any more
        return b""
