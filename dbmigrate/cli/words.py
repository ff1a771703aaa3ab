"""What the library says of its calls, said of commands."""

from __future__ import annotations

import re
from functools import partial

#: The command for each call that messages name; there is none for a plan that was made before, but it does the same.
_COMMANDS = {
    **{
        name: name
        for name in (
            *("status", "plan", "verify", "history", "validate"),
            *("upgrade", "downgrade", "goto", "redo", "resume", "baseline", "accept"),
        )
    },
    "wait_until_current": "wait",
    "apply": "upgrade",
}
_RESOLVE = re.compile(r'resolve\("([^"]*)"(?:, statement=(\d+))?, applied=(True|False|\.\.\.), reason=\.\.\.\)')
#: Where the library names a call; a function in a script or in a server's message stands elsewhere.
_PLACE = r"(?:^|(?<=[.:;] )|(?<=un )|(?<=at )|(?<=back )|(?<=with )|\b([Cc]all ))"
_CALL = re.compile(rf"{_PLACE}({'|'.join(_COMMANDS)})\(\)(?: with this plan)?")
#: A line of a script in a message.
_EXCERPT = re.compile(r" *\d* \| ")
_NAMES = "statement|to|steps|allow|acquire_timeout"
_CALL_OPTION, _OPTION = (re.compile(rf"(?<![\w.])({names})=(?=[ ,.;:)]|$)") for names in (_NAMES, f"ledger|{_NAMES}"))
#: Sentences of their own.
_PHRASES = (
    ("exists() tells; call again", "to run the command again does no harm"),
    (" Pass dialect= an object that does: see dbmigrate.dialects.Dialect", ""),
    ("call it without", "run it without"),
)
_AGAIN = re.compile(r"\b([Cc])all again\b")
_ANSWERS = {"True": "--applied", "False": "--no-applied", "...": "--applied (or --no-applied)"}


def in_commands(text: str, prog: str, *, configured: bool = True) -> str:
    """Return a message of the library with the commands of a program in place of its calls and their arguments.

    `configured`: there is an option for the ledger too; otherwise that is an argument of the application's.
    """
    options = _OPTION if configured else _CALL_OPTION
    return "\n".join(line if _EXCERPT.match(line) else _line(line, prog, options) for line in text.split("\n"))


def _line(text: str, prog: str, options: re.Pattern[str]) -> str:
    for theirs, ours in _PHRASES:
        text = text.replace(theirs, ours)
    text = re.sub(r"\b([Cc])all (?=resolve\()", lambda found: "Run " if found[1] == "C" else "run ", text)
    text = _RESOLVE.sub(partial(_resolve, prog), text)
    text = _CALL.sub(partial(_command, prog), text)
    text = options.sub(lambda found: f"--{found[1].replace('_', '-')}", text)
    return _AGAIN.sub(lambda found: f"{'R' if found[1] == 'C' else 'r'}un the command again", text)


def _resolve(prog: str, found: re.Match[str]) -> str:
    which = f" --statement {found[2]}" if found[2] else ""
    return f'{prog} resolve {found[1]}{which} {_ANSWERS[found[3]]} --reason "..."'


def _command(prog: str, found: re.Match[str]) -> str:
    verb = {"C": "Run ", "c": "run "}[found[1][0]] if found[1] else ""
    return f"{verb}{prog} {_COMMANDS[found[2]]}"
