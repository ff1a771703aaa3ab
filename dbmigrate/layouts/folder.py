"""Reading a folder of migrations: names, bytes, and what may be wrong with either.

Everything comes through `Traversable` (a path, a package resource, a member of a zip archive), is read by name and
never extracted. A real directory is read through `os` instead of `pathlib`, which is about three times as fast.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbmigrate.errors import SourceError
from dbmigrate.model import Body
from dbmigrate.script import Problem, checksum, decode, is_blank

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.resources.abc import Traversable


class Entry(NamedTuple):
    """A file or folder in a folder of migrations."""

    name: str
    is_folder: bool
    #: What to call it in messages.
    origin: str
    read: Callable[[], bytes]
    #: Set if it is a folder.
    folder: Folder | None
    #: Why it cannot be used, if so.
    defect: str | None = None


class Folder:
    """A folder of migrations, as a layout sees it."""

    def __init__(self, node: Traversable, origin: str, root: str | None = None) -> None:
        """Take the node, what to call it, and for a real directory the real path that links must stay below."""
        self._node, self.origin = node, origin
        self._root = root or (os.path.realpath(node) if isinstance(node, Path) else "")

    def entries(self) -> list[Entry]:
        """Return what is in the folder, sorted by name. Raises SourceError if it cannot be read."""
        try:
            found = self._scan() if isinstance(self._node, Path) else self._walk()
        except FileNotFoundError:
            reason = "the folder of migrations does not exist: create it, or name the right one"
        except NotADirectoryError:
            reason = "this is a file, not a folder of migrations"
        except OSError as error:
            reason = f"the folder cannot be read: {error.strerror or error}"
        else:
            return sorted(found, key=lambda entry: entry.name)
        raise SourceError([Problem(self.origin, None, reason)])

    def _scan(self) -> list[Entry]:
        found: list[Entry] = []
        with os.scandir(os.fspath(self._node)) as scan:  # type: ignore[call-overload]
            for item in scan:
                origin = f"{self.origin}/{item.name}"
                defect = _link_defect(item, self._root) if item.is_symlink() else None
                is_folder = item.is_dir()
                if defect is None and not is_folder and not item.is_file():
                    defect = "neither a file nor a folder"
                folder = Folder(Path(item.path), origin, self._root) if is_folder else None
                found.append(Entry(item.name, is_folder, origin, partial(_read_file, item.path), folder, defect))
        return found

    def _walk(self) -> list[Entry]:
        return [
            Entry(
                node.name,
                node.is_dir(),
                f"{self.origin}/{node.name}",
                node.read_bytes,
                Folder(node, f"{self.origin}/{node.name}") if node.is_dir() else None,
            )
            for node in self._node.iterdir()
        ]


def _link_defect(item: os.DirEntry[str], root: str) -> str | None:
    target = os.path.realpath(item.path)
    if not target.startswith(root.rstrip(os.sep) + os.sep):
        return "a symbolic link that leads out of the folder of migrations: put the file itself there"
    return None if os.path.exists(target) else "a symbolic link to nothing"  # noqa: PTH110 - speed


def _read_file(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(descriptor, os.fstat(descriptor).st_size + 1)]
        while parts[-1]:  # the file may be longer than it said
            parts.append(os.read(descriptor, 1 << 20))
    finally:
        os.close(descriptor)
    return parts[0] if len(parts) == 2 else b"".join(parts)  # noqa: PLR2004 - the file and the end


def body(entry: Entry, problems: list[Problem], *, transaction: bool = True, may_be_blank: bool = False) -> Body:
    """Read a script once, to hash it and to see whether it is text; what is wrong is added to `problems`.

    The text is not kept: `Body.read` reads it again, and raises SourceError if it is no longer the same.
    """
    try:
        data = entry.read()
    except OSError as error:
        problems.append(Problem(entry.origin, None, f"cannot be read: {error.strerror or error}"))
        return Body(entry.origin, "", partial(_read_again, entry, ""), transaction)
    defect = decode(data)[1]
    if defect is None and not may_be_blank and is_blank(data):
        defect = "there is no statement in it: write one, or delete the file"
    if defect is not None:
        problems.append(Problem(entry.origin, None, defect))
    mark = checksum(data)
    return Body(entry.origin, mark, partial(_read_again, entry, mark), transaction)


def _read_again(entry: Entry, expected: str) -> str:
    try:
        data = entry.read()
    except OSError as error:
        raise SourceError([Problem(entry.origin, None, f"cannot be read: {error.strerror or error}")]) from error
    text, defect = decode(data)
    if defect is None and checksum(data) != expected:
        defect = "the file changed while it was in use: call again"
    if defect is not None:
        raise SourceError([Problem(entry.origin, None, defect)])
    return text
