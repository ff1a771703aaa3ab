"""Reading a folder of migrations: names, bytes, and what may be wrong with either.

Everything comes through `Traversable` (a path, a package resource, a member of a zip archive), is read by name and
never extracted. A real directory is read through `os`, which is several times as fast as `pathlib`, and knows links
from files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from dbmigrate.errors import SourceError
from dbmigrate.model import Body
from dbmigrate.script import Problem, checksum, decode, is_blank, printable

# Binary, or Windows would change the line ends. Not blocking, for a file may have become a named pipe since the folder
# was listed.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_CHUNK = 1 << 16
_MARK = b"\xef\xbb\xbf"
_LONGEST = 255  # characters of a version or name; the ledger's columns hold that many
UNFIT = f"must have 1 to {_LONGEST} printable characters: rename it"


class Entry(NamedTuple):
    """A file or folder in a folder of migrations."""

    name: str
    parent: Folder
    is_folder: bool
    #: Why it cannot be used, if so.
    defect: str | None = None

    @property
    def origin(self) -> str:
        """What to call it in messages."""
        return f"{self.parent.origin}/{escaped(self.name)}"

    def problem(self, reason: str) -> Problem:
        """Return what is wrong with it."""
        return Problem(self.origin, None, reason)

    def read(self) -> tuple[bytes, str, str | None]:
        """Return the bytes of a file without a byte order mark, the text in them, and why it cannot be used, if so."""
        if self.defect is not None:
            return b"", "", self.defect
        try:
            data = self.parent.read(self.name).removeprefix(_MARK)
        except Exception as error:  # noqa: BLE001 - an archive raises errors of its own
            return b"", "", _unreadable(error) + self.parent.place
        return data, *decode(data)


class Folder:
    """A folder of migrations, in a package or an archive: any Traversable."""

    #: Where that is, for messages; origins do not say it of an archive.
    place = ""

    def __init__(self, node: Traversable, origin: str) -> None:
        self._node, self.origin = node, escaped(origin)

    def entries(self) -> list[Entry]:
        """Return what is in the folder, in no order. Raises SourceError if it cannot be read."""
        try:
            return self._list()
        except FileNotFoundError:
            reason = "there is no such folder: create it, or name the right one"
        except NotADirectoryError:
            reason = "this is a file, not a folder of migrations"
        except Exception as error:  # noqa: BLE001 - an archive raises errors of its own
            reason = _unreadable(error)
        raise SourceError([Problem(self.origin, None, reason)])

    def is_there(self) -> bool:
        """Tell whether there is such a folder."""
        return self._node.is_dir()

    def read(self, name: str) -> bytes:
        """Return the bytes of a file in the folder."""
        return self._node.joinpath(name).read_bytes()

    def folder(self, name: str) -> Folder:
        """Return a folder in the folder."""
        return Folder(self._node.joinpath(name), f"{self.origin}/{name}")

    def _list(self) -> list[Entry]:
        if not self._node.is_dir():
            raise NotADirectoryError if self._node.is_file() else FileNotFoundError
        return [Entry(node.name, self, node.is_dir()) for node in self._node.iterdir()]


def open_folder(node: Traversable, origin: str) -> Folder:
    """Return the folder of migrations at a path or in a package."""
    return _Directory(node, origin) if isinstance(node, Path) else Folder(node, origin)


class _Directory(Folder):
    """A real directory. A relative path counts from the working directory when it is listed."""

    def __init__(self, path: Path, origin: str, root: str = "") -> None:
        """Take, for a folder in a folder, the real path that links must stay below."""
        super().__init__(path, origin)
        self._path, self._root = str(path), root

    def _list(self) -> list[Entry]:
        if not self._root:
            self._path = os.path.join(os.getcwd(), self._path)  # noqa: PTH109, PTH118 - like scandir
            self._root = os.path.join(os.path.realpath(self._path), "")  # noqa: PTH118
        with os.scandir(self._path) as scan:
            return [Entry(item.name, self, *_look(item, self._root)) for item in scan]

    def read(self, name: str) -> bytes:
        descriptor = os.open(f"{self._path}/{name}", _FLAGS)
        try:
            parts = [os.read(descriptor, _CHUNK)]
            while len(parts[-1]) == _CHUNK:  # a file gives less only at its end
                parts.append(os.read(descriptor, _CHUNK))
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def folder(self, name: str) -> Folder:
        return _Directory(Path(self._path, name), f"{self.origin}/{name}", self._root)


def entries_of(folders: Mapping[str, Folder]) -> list[Entry]:
    """Return what is in folders, by their places, that count as one; a name that is in several of them is a defect."""
    if len(folders) == 1:
        return next(iter(folders.values())).entries()
    found: dict[str, list[tuple[str, Entry]]] = {}
    for place, folder in folders.items():
        for entry in folder.entries():
            found.setdefault(entry.name, []).append((place, entry))
    entries: list[Entry] = []
    for several in found.values():
        (_, entry), places = several[-1], " and ".join(place for place, _ in several)
        defect = f"is in several places: {places}. Rename one of them, or delete it"
        entries.append(entry._replace(defect=defect) if len(several) > 1 else entry)
    return entries


def _look(item: os.DirEntry[str], root: str) -> tuple[bool, str | None]:
    """Tell if it is a folder, and why it cannot be used, if so."""
    if item.is_file(follow_symlinks=False):
        return False, None
    if item.is_dir(follow_symlinks=False):
        return True, None
    if not item.is_symlink():
        return False, "neither a file nor a folder: delete it"
    target = os.path.realpath(item.path)
    is_folder = os.path.isdir(target)  # noqa: PTH112 - like its neighbours
    if not target.startswith(root):
        return is_folder, "a symbolic link must stay inside the folder of migrations: put the file itself here"
    if not is_folder and not os.path.isfile(target):  # noqa: PTH113 - it does not raise for loops
        return False, "a symbolic link to nothing that can be read: put the file itself here"
    return is_folder, None


@dataclass(frozen=True, slots=True)
class FileBody:
    """A script in a file, read anew each time."""

    origin: str
    #: None: nobody has read it yet.
    known: str | None
    transaction: bool
    entry: Entry = field(repr=False, compare=False)

    @property
    def checksum(self) -> str:
        """SHA-256 of its bytes when the folder was loaded; of a down script, of its bytes now."""
        return self.known or checksum(self.read().encode())

    def read(self) -> str:
        """Return the text. Raises SourceError if it cannot be read."""
        _, text, defect = self.entry.read()
        if defect is not None:
            raise SourceError([Problem(self.origin, None, defect)])
        return text


def up_body(entry: Entry, problems: list[Problem], *, transaction: bool = True) -> FileBody:
    """Read an up script once, to hash it and to see whether it is text, and keep none of it."""
    data, _, defect = entry.read()
    if defect is None and is_blank(data):
        defect = "there is no statement in it: write one, or delete the file"
    if defect is not None:
        problems.append(entry.problem(defect))
    return FileBody(entry.origin, checksum(data), transaction, entry)


def down_body(entry: Entry, problems: list[Problem], *, transaction: bool = True) -> FileBody | None:
    """Return a down script; it is not read before it is needed, which with nothing pending is never."""
    if entry.defect is not None:
        problems.append(entry.problem(entry.defect))
        return None
    return FileBody(entry.origin, None, transaction, entry)


def unreadable(body: Body) -> Sequence[Problem]:
    """Say why a script cannot be read, if so."""
    try:
        body.read()
    except SourceError as error:
        return error.problems
    return ()


def _unreadable(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"cannot be read: {reason or str(error) or type(error).__name__}"


def fits(text: str) -> bool:
    """Tell whether a ledger can hold this version or name, and a message show it."""
    return 0 < len(text) <= _LONGEST and text.isprintable()


def escaped(text: str) -> str:
    """Return a name or path on one line, so that it cannot steer a terminal or fake a message."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n")
