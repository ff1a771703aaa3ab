"""The commands and their options. Those of the API have the names that they have there."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dbmigrate.model import VERSION

_EXIT_CODES = """\
exit codes:
  0  done
  1  failed, or no connection to be had
  2  wrong usage or configuration
  3  the database is not current (verify, wait, status --check, plan --check),
     or not as the migrations make it (drift), or these are not reversible, or
     not what the models make (validate --replay, --models)
  4  another migration is in progress
  130 after Ctrl-C, 143 after SIGTERM"""
_SETTINGS = """\
settings, the first that is there counts:
  1. options
  2. the profile: --profile or DBMIGRATE_PROFILE names one of [profiles.NAME]
  3. the environment: DATABASE_URL, for the database
  4. the file: --config, or the nearest dbmigrate.toml, or pyproject.toml with [tool.dbmigrate], upwards
  5. what Migrator() takes without being told
`config` prints them, and where each of them comes from."""
_CHOICE = re.compile(r"invalid choice: '(.*?)'")
_UP_TO = "up to and including this version"
FINDINGS = ("Ahead", "Edited", "Missing", "OutOfOrder")


class UsageError(Exception):
    """The words behind the program's name are not a command."""


class Told(Exception):
    """Help or version was asked for: this is what there is to say."""


class _Version(argparse.Action):
    """Says the version, by an error."""

    def __call__(self, *_: object) -> NoReturn:
        """Raise Told."""
        raise Told(f"dbmigrate {VERSION}\n")


class Parser(argparse.ArgumentParser):
    """Says what there is to say by errors: one place prints, in words or in JSON, also where the disk is full."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - as argparse has them
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **more)
        #: The commands of a program, or the actions of a command.
        self.below: dict[str, Parser] = {}

    def actions(self) -> list[argparse.Action]:
        """Return options and places."""
        return self._actions

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Return what the words say. Raises UsageError, of the command that they name, and Told."""
        options, rest = self.parse_known_args(words)
        if options.command == "completions" and options.shell != "words":  # which takes whatever is typed
            rest = [word for word in options.line if word != "--json"]
            options.json = "--json" in options.line or getattr(options, "json", False)
        if rest:
            named = self
            for place in ("command", "action"):
                named = named.below.get(getattr(options, place, ""), named)
            named.error(f"unrecognized arguments: {' '.join(rest)}")
        return options

    def print_help(self, file: object = None) -> NoReturn:
        """Raise Told."""
        del file
        raise Told(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; with what was meant, if a command is only misspelt."""
        near = ""
        if (found := _CHOICE.search(message)) and self.below:
            from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

            message = f"there is no command {found[1]!r}"
            near = "".join(f"; did you mean {name}?" for name in get_close_matches(found[1], self.below, n=1))
        raise UsageError(f"{message}{near}\n{self.format_usage()}Try '{self.prog} --help'")


class _Commands:
    """The commands of a program, or the actions of a command, each with the options that it shares with others."""

    def __init__(self, parser: Parser, title: str, dest: str) -> None:
        self._parser = parser
        self._below = parser.add_subparsers(dest=dest, metavar=dest.upper(), required=True, title=title)

    def add(self, name: str, does: str, shared: Parser) -> Parser:
        """Add one."""
        text = f"{does[:1].upper()}{does[1:]}."
        found = self._below.add_parser(name, help=does, parents=[shared], description=text, epilog=_EXIT_CODES)
        self._parser.below[name] = found
        return found


def called() -> str:
    """Return what a person types to start this program: its file, or `python -m` and its module."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None or spec.name == "__main__":  # a file, a folder or an archive
        return Path(sys.argv[0]).name
    return f"python -m {spec.name.removesuffix('.__main__')}"


def make_parser(prog: str, *, configured: bool) -> Parser:
    """Return the parser; `configured`: the Migrator comes from settings, not from an application."""
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")
    if configured:
        _add_settings(common)
    running = Parser(add_help=False, parents=[common])
    _add_run(running)
    parser = Parser(
        prog=prog,
        parents=[common],
        description="Keep a database schema under version control.",
        epilog=f"{_EXIT_CODES}\n\n{_SETTINGS}" if configured else _EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    commands = _Commands(parser, "commands", "command")
    _add_new(commands.add("new", "write the files of the next migration", common), configured=configured)
    _add_looking(commands, running)
    _add_running(commands, running)
    _add_recording(commands, running)
    validate = commands.add("validate", "check all files of the source; needs no database", running)
    validate.add_argument("--replay", action="store_true", help="and apply all to a shadow database, up, down and up")
    validate.add_argument("--models", metavar="MODULE:NAME", help="and compare what they make with these models")
    drift = commands.add("drift", "compare the database with what its migrations make; reads only", running)
    for command in (validate, drift):
        _add_shadow(command)
    if configured:
        validate.add_argument("--dialect", metavar="NAME", help="sqlite, postgresql, mysql or mariadb, without a URL")
    _add_schema(commands, running)
    _add_database(commands, common, running)
    commands.add("config", "show every setting, and where it comes from", running)
    completions = commands.add("completions", "print what makes a shell complete commands and versions", common)
    completions.add_argument("shell", choices=("bash", "zsh", "fish", "words"), metavar="{bash,zsh,fish}")
    completions.add_argument("line", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _add_new(new: Parser, *, configured: bool) -> None:
    new.add_argument("name", metavar="NAME", help="what it does, in a few words")
    form = new.add_mutually_exclusive_group()
    form.add_argument("--directory", action="store_true", help="a folder with up.sql and down.sql, as Diesel has it")
    form.add_argument("--up-only", action="store_true", help="one file, no way back")
    form.add_argument("--python", action="store_true", help="a Python file with upgrade() and downgrade()")
    version = new.add_mutually_exclusive_group()
    version.add_argument("--sequential", action="store_true", default=None, help="number it behind the last one")
    version.add_argument(
        "--timestamp", action="store_false", dest="sequential", default=None, help="UTC; otherwise as the others are"
    )
    if configured:
        new.add_argument("--template", metavar="FOLDER", help="take up.sql, down.sql or migration.py from there")


def _add_looking(commands: _Commands, running: Parser) -> None:
    status = commands.add("status", "show every migration, and what is wrong with any", running)
    status.add_argument("--check", action="store_true", help="end with 3 unless the database is current")
    plan = commands.add("plan", "show what upgrade would run", running)
    plan.add_argument("--to", metavar="VERSION", help=_UP_TO)
    plan.add_argument("--sql", action="store_true", help="print it as a script for the database's own client")
    plan.add_argument("--check", action="store_true", help="end with 3 if there is anything to run")
    commands.add("verify", "make sure that the database is current; reads only", running)
    wait = commands.add("wait", "wait until the database is current; reads only", running)
    wait.add_argument("--timeout", type=float, metavar="SECONDS", default=600.0, help="for so long (600)")
    commands.add("history", "show the ledger: what happened, when, by whom, how long, why", running)


def _add_running(commands: _Commands, running: Parser) -> None:
    upgrade = commands.add("upgrade", "apply what is pending", running)
    upgrade.add_argument("--to", metavar="VERSION", help=_UP_TO)
    upgrade.add_argument(
        "--locked", action="store_true", help="do not write the schema file; end with 3 if it would change"
    )
    downgrade = commands.add("downgrade", "take back the last step, or more", running)
    back = downgrade.add_mutually_exclusive_group()
    back.add_argument("--to", metavar="VERSION", help="everything that stands after it; 'base': everything")
    back.add_argument("--steps", type=int, metavar="N", help="so many (1)")
    goto = commands.add("goto", "make a version the last one that is applied, up or down", running)
    goto.add_argument("to", metavar="VERSION", help="'base': none")
    redo = commands.add("redo", "take the last steps back and apply them again", running)
    redo.add_argument("--steps", type=int, metavar="N", default=1, help="so many (1)")
    commands.add("resume", "go on with a step that began and did not end", running)


def _add_recording(commands: _Commands, running: Parser) -> None:
    baseline = commands.add("baseline", "record everything up to a version as applied; run nothing", running)
    accept = commands.add("accept", "record that an edited script is right as it is now", running)
    resolve = commands.add("resolve", "say what is true of a step that began and did not end", running)
    said = resolve.add_mutually_exclusive_group(required=True)
    said.add_argument("--applied", action="store_true", default=None, help="it is applied now, or took effect")
    said.add_argument("--no-applied", action="store_false", dest="applied", default=None, help="nothing of it is there")
    resolve.add_argument(
        "--statement", type=int, metavar="N", help="of the one that is in doubt, not of the whole step"
    )
    for command in (baseline, accept, resolve):
        command.add_argument("version", metavar="VERSION")
        command.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept in the ledger")


def _add_schema(commands: _Commands, running: Parser) -> None:
    below = _Commands(commands.add("schema", "the schema of the database as code", running), "actions", "action")
    show = below.add("print", "print it as a module of SQLAlchemy tables; reads only", running)
    show.add_argument("--sql", action="store_true", help="as a script that makes it anew")
    check = below.add(
        "check", "end with 3, and show how, if a file is not what the database gives; reads only", running
    )
    check.add_argument("file", metavar="FILE", nargs="?", help="ending with .py or .sql (the one of the settings)")
    for name, does in (("--include", "only what has such a place, as in 'app.*'"), ("--exclude", "not what has such")):
        for command in (show, check):
            command.add_argument(
                name, action="append", metavar="PATTERN", default=[], help=f"{does}; may be said several times"
            )


def _add_database(commands: _Commands, common: Parser, running: Parser) -> None:
    below = _Commands(commands.add("database", "create or drop the database itself", common), "actions", "action")
    below.add("create", "create it, if it does not exist", common)
    below.add("setup", "create it, if it does not exist, and upgrade it", running)
    drop = below.add("drop", "drop it, and everything in it", common)
    reset = below.add("reset", "drop it, create it, and upgrade it", running)
    for command in (drop, reset):
        command.add_argument("-y", "--yes", action="store_true", help="do not ask")
        command.add_argument("-f", "--force", action="store_true", help="although others are connected to it")


def _add_shadow(parser: Parser) -> None:
    group = parser.add_argument_group("the shadow database")
    group.add_argument("--shadow-url", metavar="URL", help="one that is empty, or does not exist (beside the database)")
    group.add_argument("--prepare", metavar="FILE", help="SQL that is run in it before the first migration")
    group.add_argument("--exclude", metavar="PATTERN", action="append", help="leave out: audit.*, *_backup")


def _add_settings(parser: Parser) -> None:
    group = parser.add_argument_group("settings")
    for name, metavar, does in (
        ("--database", "URL", "the database"),
        ("--source", "FOLDER", "the migrations (migrations)"),
        ("--layout", "NAME", "how that folder is laid out (native)"),
        ("--ledger", "TABLE", "the table that says what is applied (dbmigrate_ledger)"),
        ("--schema", "NAME", "the schema of that table"),
        ("--schema-file", "FILE", "what the database is then, written by each run: .py or .sql"),
        ("--config", "FILE", "settings from there"),
        ("--profile", "NAME", "settings of [profiles.NAME] on top"),
        ("--env-file", "FILE", "variables that the environment does not have; needs python-dotenv"),
    ):
        group.add_argument(name, metavar=metavar, default=argparse.SUPPRESS, help=does)


def _add_run(parser: Parser) -> None:
    group = parser.add_argument_group("how to run")
    group.add_argument(
        "--allow",
        metavar="FINDING",
        action="append",
        choices=(*FINDINGS, "none"),
        default=argparse.SUPPRESS,
        help=f"tolerate {', '.join(FINDINGS)}; may be said several times; 'none' is to tolerate nothing (Ahead)",
    )
    group.add_argument("--transaction", choices=("each", "all"), default=argparse.SUPPRESS, help="(each)")
    for name, does in (
        ("--acquire-timeout", "wait for another migrator without progress (60)"),
        ("--statement-timeout", "a statement may take (the database's own)"),
        ("--retry-timeout", "after these no step is tried again (300)"),
    ):
        group.add_argument(name, type=float, metavar="SECONDS", default=argparse.SUPPRESS, help=does)
    group.add_argument(
        "--lock-timeout",
        type=_lock_timeout,
        metavar="SECONDS",
        default=argparse.SUPPRESS,
        help="a statement may wait for a lock (2; SQLite has none); 'none': the database's own limit",
    )
    group.add_argument(
        "--retries",
        type=int,
        metavar="N",
        default=argparse.SUPPRESS,
        help="a step is tried again for which a lock was not to be had, and the like (10)",
    )


def _lock_timeout(text: str) -> float | str:
    return text if text in ("none", "default") else float(text)
