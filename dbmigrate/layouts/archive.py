"""A folder of migrations in a zip archive.

The archive's word is not taken: names that lead elsewhere, names that are there twice, links, encrypted entries and
what unpacks to more than any script needs are refused before anything of it is read, all of them together. Nothing is
extracted, an archive on disk is open only while it is read, and no entry gives more than its declared size.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zipfile
import zlib
from typing import TypeAlias
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dbmigrate.errors import SourceError
from dbmigrate.layouts.folder import Entry, Folder, escaped
from dbmigrate.script import Problem

_Tree: TypeAlias = dict[str, "ZipInfo | _Tree"]

_MIB = 1 << 20
# What the entries of a folder may have unpacked: one of them, all of them, and one of more than 1 MiB as a multiple of
# its packed size. Deflate packs zeros 1,000 times, rows of INSERT 20 to 30 times.
_FILE, _ALL, _RATIO = 64 * _MIB, 512 * _MIB, 100
_ENCRYPTED = 0x2041  # the flags: of the data, strongly, and of the archive's directory
# A backslash, a drive, or a part that is empty, "." or "..".
_ODD = re.compile(r"\\|^[A-Za-z]:|(^|/)\.{0,2}(/|\Z)")


class _Archive(Folder):
    """A folder in a zip archive, of the entries that were there when it was opened."""

    def __init__(self, archive: str | ZipFile, origin: str, tree: _Tree | None) -> None:
        """Take the path of the archive, or an open one that has no path, and what is in the folder, if there is one."""
        self._archive, self.origin, self._tree = archive, escaped(origin), tree
        self.place = f" (in {escaped(archive)})" if isinstance(archive, str) else ""

    def _list(self) -> list[Entry]:
        if self._tree is None:
            raise FileNotFoundError
        return [Entry(name, self, isinstance(part, dict)) for name, part in self._tree.items()]

    def is_there(self) -> bool:
        return self._tree is not None

    def folder(self, name: str) -> Folder:
        part = (self._tree or {}).get(name)
        return _Archive(self._archive, f"{self.origin}/{name}", part if isinstance(part, dict) else None)

    def read(self, name: str) -> bytes:
        info = (self._tree or {}).get(name)
        if not isinstance(info, ZipInfo):
            code = errno.ENOENT if info is None else errno.EISDIR
            raise OSError(code, os.strerror(code))
        if isinstance(self._archive, ZipFile):
            with self._archive.open(info) as stream:
                return stream.read(info.file_size + 1)
        with open(self._archive, "rb") as file:  # noqa: PTH123 - like os.open of a directory's files
            file.seek(info.header_offset)
            header = file.read(30)  # its last four bytes are the lengths of what stands between it and the data
            file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:], "little"), os.SEEK_CUR)
            data = file.read(info.compress_size)
        if info.compress_type == ZIP_DEFLATED:  # not by ZipExtFile, which takes half as long again for a whole load
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, info.file_size + 1)
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise BadZipFile(f"Bad CRC-32 for file {info.orig_filename!r}")
        return data


def open_archive(node: zipfile.Path, origin: str) -> Folder:
    """Return a folder in an archive. Raises SourceError with every entry in it that is refused."""
    archive, prefix = node.root, f"{node.at.rstrip('/')}/" if node.at else ""
    is_file = isinstance(archive.filename, str) and os.path.isfile(archive.filename)  # noqa: PTH113
    place = os.path.abspath(archive.filename) if is_file and archive.filename else archive  # noqa: PTH100
    tree: _Tree = {}
    folder, is_there, problems, total = _Archive(place, origin, tree), not prefix, list[Problem](), 0
    for info in archive.infolist():
        name = info.orig_filename
        if _ODD.search(name.removesuffix("/")):
            if name.startswith(prefix) or _resolved(name).startswith(prefix):
                reason = f"{name!r} in the archive may mean another place: pack it again, with plain names"
                problems.append(Problem(folder.origin, None, reason))
        elif name.startswith(prefix):
            is_there, total, rest = True, total + info.file_size, name[len(prefix) :]
            if rest and (defect := _defect(info) or _put(tree, rest, info)):
                problems.append(Entry(rest, folder, is_folder=False).problem(defect))
    if total > _ALL:
        reason = f"its entries have more than {_ALL // _MIB} MiB unpacked, as a decompression bomb has: leave some out"
        problems.append(Problem(folder.origin, None, reason))
    if problems:
        raise SourceError(problems)
    return folder if is_there else _Archive(place, origin, None)


def _resolved(name: str) -> str:
    """Return the place that a careless reader would take a name for."""
    parts: list[str] = []
    for part in re.sub("^[A-Za-z]:", "", name).replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _defect(info: ZipInfo) -> str | None:
    """Say why an entry is refused for what the archive's directory says of it, if so."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a symbolic link in an archive: put the file itself there"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "neither a file nor a folder: leave it out of the archive"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted: pack the archive without a password"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is not compressed by deflate: pack the archive with that, or with nothing"
    if max(info.file_size, info.compress_size) > _FILE:
        return f"has more than {_FILE // _MIB} MiB: leave it out of the archive, or cut it into several"
    if info.file_size > max(_MIB, _RATIO * info.compress_size):
        return f"has more than {_RATIO} times its packed size, as a decompression bomb has: leave it out of the archive"
    return None


def _put(tree: _Tree, name: str, info: ZipInfo) -> str | None:
    """Put an entry into its place in the tree; say if it is taken."""
    *folders, last = name.removesuffix("/").split("/")
    part: ZipInfo | _Tree = tree
    for folder in folders:
        part = part.setdefault(folder, {}) if isinstance(part, dict) else part
    if isinstance(part, dict) and last not in part:
        part[last] = {} if name.endswith("/") else info
    elif isinstance(part, ZipInfo) or not (name.endswith("/") and isinstance(part[last], dict)):
        return "is there twice in the archive: pack it again, with one of them"
    return None
