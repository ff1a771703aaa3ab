"""Directory grammars: which entries of a folder are migrations, their versions, their order, their markers.

A layout is a function from a `Folder` to migrations in history order and to everything that is wrong. Each is a module
of its own, found by name and imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from dbmigrate.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigrate.layouts.folder import Folder
    from dbmigrate.model import Migration
    from dbmigrate.script import Problem

    Layout = Callable[[Folder], tuple[list[Migration], list[Problem]]]

NAMES = ("native",)


def layout(name: str) -> Layout:
    """Return the layout of a name. Raises ConfigurationError for one that there is not."""
    if name not in NAMES:
        raise ConfigurationError(f"there is no layout {name!r}; there is: {', '.join(NAMES)}")
    return cast("Layout", import_module(f"dbmigrate.layouts.{name}").read)
