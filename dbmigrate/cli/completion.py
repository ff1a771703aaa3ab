"""What completes a command line in a shell: commands, options, versions."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import suppress

from dbmigrate.cli.parser import Parser, make_parser
from dbmigrate.errors import ConfigurationError

# bash calls such a program with the line in COMP_LINE; zsh can do as bash does; fish is told to.
_SCRIPTS = {
    "bash": "complete -o default -C '{prog} completions words' {prog}",
    "zsh": "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"
    "complete -o default -C '{prog} completions words' {prog}",
    "fish": "complete -c {prog} -f -a '(env COMP_LINE=(commandline -cp | string collect) {prog} completions words)'",
}


def script(shell: str, prog: str) -> str:
    """Return what a shell has to read at its start.

    Raises ConfigurationError if the program is more than one word, which no shell completes.
    """
    if " " in prog:
        raise ConfigurationError(
            f"{prog!r} cannot be completed: ask the program by its name, as in dbmigrate completions"
        )
    return _SCRIPTS[shell].format(prog=prog)


def words(prog: str, line: str, versions: Callable[[], Iterable[str]], *, configured: bool) -> list[str]:
    """Return what may stand at the end of a command line that is being typed."""
    command = make_parser(prog, configured=configured)
    typed = line.split() + ([""] if line[-1:].isspace() else [])
    if not line.split() or len(typed) == 1:  # asked by hand, or behind the program's own name
        return []
    _, *before, last = typed
    asked: argparse.Action | None = None
    places = 0
    for word in before:
        if asked is not None:
            asked = None
        elif word in command.below:
            command, places = command.below[word], 0
        elif word.startswith("-"):
            option = _options(command).get(word)
            asked = option if option is not None and option.nargs != 0 else None
        else:
            places += 1
    place = next((a for a in command.actions() if not a.option_strings and a.metavar == "VERSION"), None)
    known: Iterable[str] = ()
    if asked is not None and asked.choices:
        known = map(str, asked.choices)
    elif (asked is not None and asked.metavar == "VERSION") or (
        asked is None and place and not places and last[:1] != "-"
    ):
        with suppress(Exception):  # a key was pressed, and there is no place for a message
            known = versions()
    elif asked is None:
        known = _options(command) if last.startswith("-") else command.below
    return [word for word in known if word.startswith(last)]


def _options(command: Parser) -> dict[str, argparse.Action]:
    return {text: action for action in command.actions() for text in action.option_strings}
