"""A source that reads a zip archive of migrations: `1_users.up.sql`, `1_users.down.sql`, and so on.

Run it twice: the second time there is nothing to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812

from dbmigrate import MemorySource, Migration, Migrator, Problem, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zipfile import ZipInfo

HERE = Path(__file__).parent
_NAME = re.compile(r"([0-9]{1,255})_([^/\\]+?)\.(up|down)\.sql", re.DOTALL)
#: What a damaged archive, or one that is not there, raises when it is read.
_TROUBLE = (OSError, BadZipFile, ZlibError, LZMAError, EOFError, RuntimeError, ValueError)
_ENCRYPTED, _LINK = 0x1, 0o120000


@dataclass(frozen=True)
class Script:
    """A body: one member of the archive, found and read anew each time, and never written to the disk."""

    archive: Path
    member: str
    #: Bytes that it may have when it is unpacked: an archive of a few kilobytes can hold gigabytes.
    limit: int
    known: str | None = field(default=None, compare=False)
    transaction: bool = True

    @property
    def origin(self) -> str:
        """What to call it in messages."""
        return f"{self.archive}/{self.member}"

    @property
    def checksum(self) -> str:
        """SHA-256 of its text with LF line ends; of an up script as it was when the archive was loaded."""
        return self.known or _checksum(self.read())

    def read(self) -> str:
        """Return its text: UTF-8, without a byte order mark, with the line ends that it has."""
        try:
            with ZipFile(self.archive) as archive, archive.open(self.member) as file:
                data = file.read(self.limit + 1)
            if len(data) > self.limit:
                raise ValueError(f"more than {self.limit} bytes when it is unpacked")
            return data.decode().removeprefix("\ufeff")
        except (*_TROUBLE, KeyError) as error:
            raise SourceError([Problem(self.origin, None, f"cannot be read: {error}")]) from error


def _checksum(text: str) -> str:
    return "sha256:" + sha256(text.replace("\r\n", "\n").encode()).hexdigest()


@dataclass(frozen=True)
class ArchiveSource:
    """The source. The order of history is that of the numbers in front; what does not end in .sql is passed over."""

    archive: Path
    #: Bytes of one script.
    limit: int = 1 << 20

    def load(self) -> Sequence[Migration]:
        """Read every up script once, to hash it; keep none. Raises SourceError with all that is wrong at once."""
        problems: list[Problem] = []
        scripts: dict[tuple[int, str, str], dict[str, Script]] = {}
        for member in self._members():
            found = _NAME.fullmatch(member.filename)
            reason = _defect(member) if found else "call it <number>_<name>.up.sql or .down.sql, in no folder"
            if found is None or reason:
                problems.append(Problem(self._origin(member), None, reason or ""))
                continue
            pair = scripts.setdefault((int(found[1]), found[1], found[2]), {})
            if found[3] in pair:
                problems.append(Problem(self._origin(member), None, "it is in the archive twice"))
            pair[found[3]] = Script(self.archive, member.filename, self.limit)
        migrations = list(self._migrations(scripts, problems))
        try:
            MemorySource(migrations).load()  # which looks at versions, names and texts
        except SourceError as error:
            problems += [problem for problem in error.problems if problem not in problems]
        if problems:
            raise SourceError(problems)
        return migrations

    def _members(self) -> list[ZipInfo]:
        try:
            with ZipFile(self.archive) as archive:
                return [member for member in archive.infolist() if member.filename.lower().endswith(".sql")]
        except _TROUBLE as error:
            raise SourceError([Problem(str(self.archive), None, f"cannot be read: {error}")]) from error

    def _migrations(
        self, scripts: dict[tuple[int, str, str], dict[str, Script]], problems: list[Problem]
    ) -> Iterator[Migration]:
        for (_, version, name), pair in sorted(scripts.items()):
            if "up" not in pair:
                problems.append(Problem(pair["down"].origin, None, "a down script without its up script"))
                continue
            up = pair["up"]
            try:
                known = _checksum(up.read())
            except SourceError as error:
                problems += error.problems
            else:
                up = Script(up.archive, up.member, up.limit, known)
            yield Migration(version, name, up, pair.get("down"))

    def _origin(self, member: ZipInfo) -> str:
        return f"{self.archive}/{member.filename}"


def _defect(member: ZipInfo) -> str | None:
    if member.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if member.external_attr >> 16 & 0o170000 == _LINK:
        return "it is a symbolic link: put the file itself into the archive"
    return None


def main() -> None:
    """Make an archive, and bring app.db up to date from it."""
    path = HERE / "migrations.zip"
    if not path.exists():
        with ZipFile(path, "x") as archive:
            archive.writestr("1_users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY);\n")
            archive.writestr("1_users.down.sql", "DROP TABLE users;\n")
            archive.writestr("2_email.up.sql", "ALTER TABLE users ADD COLUMN email TEXT;\n")

    report = Migrator(f"sqlite:///{HERE / 'app.db'}", ArchiveSource(path)).upgrade()

    for outcome in report.outcomes:
        print(f"applied {outcome.step.migration}")
    if not report:
        print("nothing to do")


if __name__ == "__main__":
    main()
