"""The command line as people and programs start it: in a process of its own, over a pipe or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from fcntl import ioctl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
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


@dataclass(frozen=True)
class Program:
    """A program in a folder, with variables of its own."""

    folder: Path
    command: tuple[StrPath, ...] = (sys.executable, "-m", "dbmigrate")
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it over pipes."""
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env=environment({**self.variables, **variables}),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )

    def json(self, *words: str, code: int = 0, **variables: str) -> Any:
        """Run it with --json; return the one object on its stdout."""
        done = self(*words, "--json", **variables)
        assert done.returncode == code, done.stdout + done.stderr
        found = json.loads(done.stdout)
        assert list(found) == ["format", "command", "exit_code", "result", "error"]
        assert (found["format"], found["exit_code"]) == (1, code)
        assert (found["error"] is None) == (found["result"] is not None or not code)
        return found

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start it over pipes, in a process group of its own."""
        return subprocess.Popen(
            [*self.command, *words],
            cwd=self.folder,
            env=environment({**self.variables, **variables}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def on_terminal(self, *words: str, typed: Mapping[str, str] | None = None, **variables: str) -> tuple[str, int]:
        """Run it on a terminal; return all that is written there, and the exit code.

        `typed`: what to type once some text is there.
        """
        waiting = dict(typed or {})
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(
            [*self.command, *words],
            cwd=self.folder,
            env=environment({**self.variables, **variables}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen, until = b"", time.monotonic() + PATIENCE
        try:
            while time.monotonic() < until:
                if not select.select([ours], [], [], 0.1)[0]:
                    continue
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # EIO: nobody has the other end any more
                    piece = b""
                if not piece:
                    break
                seen += piece
                for text in [text for text in waiting if text.encode() in seen]:
                    os.write(ours, waiting.pop(text).encode())
            assert time.monotonic() < until, seen.decode()
            return seen.decode(), process.wait(PATIENCE)
        finally:
            os.close(ours)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
