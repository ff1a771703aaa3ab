"""Migrations with a way back, made of statements that have none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dbmigrate import sql_migration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbmigrate import Migration

_KINDS: Final = "TABLE|INDEX|SEQUENCE|FUNCTION|PROCEDURE|VIEW|TRIGGER|EVENT"
_CREATE: Final = re.compile(rf"CREATE (?:.+? )??({_KINDS}) (`(?:``|[^`])+`|\w+)")
_GRANT: Final = re.compile(r"GRANT (.+) ON (\w+) TO (\w+)( WITH GRANT OPTION)?")


def way_back(sql: str) -> str:
    """Drop what a statement creates, or revoke what it grants."""
    if created := _CREATE.match(sql):
        return f"DROP {created[1]} {created[2]}"
    granted = _GRANT.fullmatch(sql)
    assert granted, f"its way back has to be told: {sql}"
    return f"REVOKE {granted[1]}{', GRANT OPTION' if granted[4] else ''} ON {granted[2]} FROM {granted[3]}"


def migrations_of(themes: Iterable[Sequence[str]], back: Mapping[str, str]) -> list[Migration]:
    """One for each theme; `back` has the ways back that the statements do not tell, empty where there is none."""
    made = []
    for number, theme in enumerate(themes, 1):
        ways = [back[sql] if sql in back else way_back(sql) for sql in reversed(theme)]
        down = ";\n".join(filter(None, ways))
        made.append(sql_migration(f"{number:02}", "x", ";\n".join(theme), down))
    return made
