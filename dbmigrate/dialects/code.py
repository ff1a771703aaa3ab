"""Python that makes tables, as values: names, calls and what they are given; and how it is written.

Laws of this file: pure; what is written is as `ruff format` and black would have it at any line length from 88 on:
in one line where that fits, otherwise an element a line, with a comma behind the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

#: Columns that a line may have.
WIDTH = 88
#: Where `text()` sees a parameter, or what keeps it from that.
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)|(?<=\\):(?=[\w$])")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Name:
    """Something that is imported from a module; or, without one, a variable of the file itself."""

    name: str
    module: str = ""

    def __call__(self, *args: Code, **named: Code | None) -> Call:
        """Return a call of it; arguments that are None are left out."""
        return Call(self, args, tuple((key, value) for key, value in named.items() if value is not None))


@dataclass(frozen=True, slots=True)
class Call:
    """What a call returns."""

    function: Name
    args: tuple[Code, ...] = ()
    named: tuple[tuple[str, Code], ...] = ()

    def and_also(self, **named: Code) -> Call:
        """Return the same call with more arguments."""
        return Call(self.function, self.args, (*self.named, *named.items()))


Code = Name | Call | str | int | list[Any] | tuple[Any, ...] | dict[str, Any]


def sqlalchemy(name: str) -> Name:
    """Return what SQLAlchemy itself has of this name."""
    return Name(name, "sqlalchemy")


def sql(words: str) -> Call:
    """Return SQL as it is: a colon in it is no parameter."""
    escaped = _PARAMETER.sub(r"\\:", words)
    # What text() takes for a parameter and cannot be kept from, as in ':hh:mm', is the name of a column.
    return sqlalchemy("text")(escaped) if str(text(escaped)) == words else sqlalchemy("literal_column")(words)


def names(code: Code) -> Iterator[Name]:
    """Give every name in it."""
    if isinstance(code, Name):
        yield code
    elif isinstance(code, Call):
        yield code.function
        yield from (name for inner in code.args for name in names(inner))
        yield from (name for _, inner in code.named for name in names(inner))
    elif isinstance(code, list | tuple | dict):
        yield from (name for inner in (code.values() if isinstance(code, dict) else code) for name in names(inner))


def evaluated(code: Code) -> Any:  # noqa: ANN401 - whatever it makes
    """Return what imported names and calls of them make. None: this version of SQLAlchemy has no such thing."""
    if isinstance(code, Name):
        return getattr(import_module(code.module), code.name, None)
    if isinstance(code, Call):
        try:
            named = {key: evaluated(value) for key, value in code.named}
            return evaluated(code.function)(*map(evaluated, code.args), **named)
        except (TypeError, ValueError, SQLAlchemyError):
            return None
    return [evaluated(inner) for inner in code] if isinstance(code, list) else code


def written(code: Code, indent: int = 0, *, used: int = 0, spread: bool = False) -> str:
    """Return the text of it.

    Args:
        code: What to write.
        indent: That of the line in which it begins.
        used: What else is in the line in which it begins, if it ends there.
        spread: Put an element on a line, whether they fit in one or not.

    """
    flat = "".join(_flat(code))
    opening, elements, closing = _parts(code)
    if not elements or (not spread and indent + used + _width(flat) <= WIDTH):
        return flat
    inside = " " * (indent + 4)
    lines = [
        f"{inside}{mark}{written(inner, indent + 4, used=len(mark) + 1)},\n"  # with the comma
        for mark, inner in elements
    ]
    return f"{opening}\n{''.join(lines)}{' ' * indent}{closing}"


def literal(value: str) -> str:
    """Return a text as Python has it: in double quotes, unless there are more of them in it than of the others."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    return f"{quote}{''.join(_character(c, quote) for c in value)}{quote}"


def _character(character: str, quote: str) -> str:
    if character == quote:
        return f"\\{quote}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()


def _width(text: str) -> int:
    """Return the columns that a text takes at most: others than ASCII characters may take two."""
    return len(text) + sum(not character.isascii() for character in text)


def _flat(code: Code) -> Iterator[str]:
    opening, elements, closing = _parts(code)
    yield opening
    for number, (mark, inner) in enumerate(elements):
        yield f"{', ' if number else ''}{mark}"
        yield from _flat(inner)
    yield "," + closing if isinstance(code, tuple) and len(code) == 1 else closing


def _parts(code: Code) -> tuple[str, Sequence[tuple[str, Code]], str]:
    """Return how it opens, its elements with what stands before each, and how it closes."""
    if isinstance(code, Call):
        named = [(f"{key}=", value) for key, value in code.named]
        return f"{code.function.name}(", [*(("", value) for value in code.args), *named], ")"
    if isinstance(code, dict):
        return "{", [(f"{literal(key)}: ", value) for key, value in code.items()], "}"
    if isinstance(code, list | tuple):
        opening, closing = "[]" if isinstance(code, list) else "()"
        return opening, [("", value) for value in code], closing
    return code.name if isinstance(code, Name) else literal(code) if isinstance(code, str) else repr(code), (), ""
