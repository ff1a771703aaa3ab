"""Migrations inside a package: installed, editable, in a zip archive, in a zipapp, in portions of a namespace package.

Wheels are real ones: built by hatchling and setuptools, through the hooks that pip calls, and installed by pip.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import io
import os
import pickle
import re
import shutil
import site
import stat
import subprocess
import sys
import tempfile
import tracemalloc
import zipapp
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from dbmigrate import (
    ConfigurationError,
    FilesystemSource,
    MigrationFailed,
    Migrator,
    PackageSource,
    SourceError,
)
from dbmigrate.source import read_folder
from tests.test_source import A, B, everything, look_at, problems, tables, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dbmigrate.model import Migration

#: Every form of a migration, with all line ends, and what lies beside migrations.
FILES: Final[dict[str, Any]] = {
    "1_users.up.sql": b"\xef\xbb\xbfCREATE TABLE users (\r\n  id INTEGER PRIMARY KEY\r\n);\r\n",
    "1_users.down.sql": b"DROP TABLE users;\r\n",
    "2_email.sql": b"ALTER TABLE users ADD COLUMN email VARCHAR(99);\n",
    "3_rows.py": b"def upgrade(connection):\r\n    connection.exec_driver_sql('INSERT INTO users (id) VALUES (1)')\r\n",
    "10_notes": {"up.sql": A, "down.sql": b"DROP TABLE a;\n", "metadata.toml": b"run_in_transaction = true\n"},
    "README.md": b"What we changed, and why.\n",
}
_BACKENDS: Final = {"hatchling": "hatchling.build", "setuptools": "setuptools.build_meta"}


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Take back what a test does to the import system."""
    before = sys.path[:], sys.meta_path[:], sys.path_hooks[:]
    yield
    sys.path[:], sys.meta_path[:], sys.path_hooks[:] = before
    for name in [name for name in sys.modules if re.match("(__editable__|shop|acme)", name)]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def nothing_is_extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Hold against each test what it leaves where temporary files go, and return that place."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


def build(folder: Path, backend: str, *hooks: str, configuration: str = "") -> Path:
    """Build wheels of a project as pip does; return the folder that they are in."""
    project = f'[build-system]\nrequires = ["{backend}"]\nbuild-backend = "{_BACKENDS[backend]}"\n'
    name = f'[project]\nname = "shop-by-{backend}"\nversion = "1"\n'
    (folder / "pyproject.toml").write_text(f"{project}{name}{configuration}")
    for hook in hooks or ("build_wheel",):
        (folder / "dist" / hook).mkdir(parents=True)
        code = f"import {_BACKENDS[backend]} as backend; backend.{hook}('dist/{hook}')"
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    return folder / "dist"


def install(target: Path, *wheels: Path) -> Path:
    """Install wheels by pip."""
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *map(str, wheels)], check=True)
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Return, for each way to have a package, what to add to the path; and the folder that all were made from."""
    top = tmp_path_factory.mktemp("built")
    package_data = '[tool.setuptools.package-data]\nshop_by_setuptools = ["migrations/**"]\n'
    for backend in _BACKENDS:
        folder = top / backend / ("src" if backend == "hatchling" else "") / f"shop_by_{backend}"
        write(folder, {"__init__.py": b"", "migrations": FILES})
        hooks = "build_wheel", "build_editable"
        build(top / backend, backend, *hooks, configuration=package_data if backend == "setuptools" else "")
    wheels, editable = (sorted(top.glob(f"*/dist/{hook}/*.whl")) for hook in ("build_wheel", "build_editable"))
    return {
        "installed": [install(top / "installed", *wheels)],
        "editable": [install(top / "editable", *editable)],
        "zipped": wheels,
        "folder": [top / "setuptools" / "shop_by_setuptools" / "migrations"],
    }


def pack(path: Path, files: Mapping[str, Any], *, folders: bool = False) -> Path:
    """Write an archive, if wished with entries for its folders; and have its packages importable."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _pack(archive, "", files, folders=folders)
    sys.path.insert(0, str(path))
    return path


def _pack(archive: zipfile.ZipFile, prefix: str, files: Mapping[str, Any], *, folders: bool) -> None:
    for name, part in files.items():
        if isinstance(part, bytes):
            archive.writestr(f"{prefix}{name}", part)
        else:
            if folders:
                archive.mkdir(f"{prefix}{name}")
            _pack(archive, f"{prefix}{name}/", part, folders=folders)


def origins(migrations: Any) -> list[str]:
    """Return what the up scripts are called."""
    return [m.up.origin for m in migrations]


# The same everywhere


@pytest.mark.parametrize("place", ["installed", "editable", "zipped"])
@pytest.mark.parametrize("backend", _BACKENDS)
def test_a_package_is_the_same_wherever_it_is(built: dict[str, list[Path]], backend: str, place: str) -> None:
    """Versions, names, checksums, texts and origins do not depend on how a package came here, nor do line ends."""
    for path in built[place]:
        if path.is_dir():
            site.addsitedir(str(path))
        else:
            sys.path.insert(0, str(path))
    migrations = PackageSource(f"shop_by_{backend}", "migrations").load()
    names = "1_users.up.sql", "2_email.sql", "3_rows.py", "10_notes/up.sql"

    assert everything(FilesystemSource(built["folder"][0]).load()) == everything(migrations)
    assert [f"shop_by_{backend}/migrations/{name}" for name in names] == origins(migrations)
    # It was indeed there:
    module, top = sys.modules[f"shop_by_{backend}"], built["installed"][0].parent
    beginning = {"installed": built["installed"][0], "editable": top / backend, "zipped": top / backend / "dist"}[place]
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(beginning)
    assert Path(module.__file__).exists() == (place != "zipped")


_APP = """\
import sys
from dbmigrate import Migrator, PackageSource

report = Migrator(f"sqlite:///{sys.argv[1]}", PackageSource("shop")).upgrade()
print(*(f"{o.step} {o.record.checksum}" for o in report.outcomes), sep="\\n")
"""


def test_a_zipapp_upgrades_its_database(tmp_path: Path, nothing_is_extracted: Path) -> None:
    """An application in one file has its migrations with it, and finds nothing to do the second time."""
    content = {"__main__.py": _APP.encode(), "shop": {"__init__.py": b"", "migrations": FILES}}
    zipapp.create_archive(write(tmp_path / "app", content), tmp_path / "app.pyz", compressed=True)
    shutil.rmtree(tmp_path / "app")
    environment = os.environ | {"TMPDIR": str(nothing_is_extracted)}
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "error", tmp_path / "app.pyz", tmp_path / "app.db"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    migrations = FilesystemSource(write(tmp_path / "m", FILES)).load()

    assert [f"{m} up {m.up.checksum}" for m in migrations] == outputs[0].splitlines()
    assert outputs[1] == "\n"
    assert sorted(tables(tmp_path / "app.db")) == ["a", "users"]


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "archive"])
def test_a_package_may_have_its_migrations_anywhere_in_it(tmp_path: Path, zipped: bool) -> None:
    """In a folder of a folder, in a subpackage, or beside its modules, which are passed over."""
    inner = {"__init__.py": b"", "tool.py": b"", "db": {"m": {"1_a.sql": A}}, "2_b.sql": B}
    files = {"shop": {"__init__.py": b"", "inner": inner}}
    if zipped:
        pack(tmp_path / "shop.zip", files)
    else:
        sys.path.insert(0, str(write(tmp_path / "path", files)))

    assert origins(PackageSource("shop", "inner/db/m").load()) == ["shop/inner/db/m/1_a.sql"]
    assert origins(PackageSource("shop.inner", "db/m").load()) == ["shop/inner/db/m/1_a.sql"]
    assert origins(PackageSource("shop.inner", ".").load()) == ["shop/inner/2_b.sql"]


def test_a_package_may_be_given_itself(tmp_path: Path) -> None:
    """Its name is what is kept, so that a source can be pickled and compared."""
    pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": {"1_a.sql": A}}})
    source = PackageSource(importlib.import_module("shop"))

    assert source == PackageSource("shop", "migrations", layout="native")
    assert everything(source.load()) == everything(PackageSource("shop").load())


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "archive"])
def test_migrations_of_a_package_can_be_pickled(tmp_path: Path, zipped: bool) -> None:
    """Source and migrations travel to other processes, wherever the package is."""
    files = {"shop": {"__init__.py": b"", "migrations": FILES}}
    if zipped:
        pack(tmp_path / "shop.zip", files)
    else:
        sys.path.insert(0, str(write(tmp_path / "path", files)))
    source = PackageSource("shop")
    again, loaded = pickle.loads(pickle.dumps((source, source.load())))  # noqa: S301 - our own

    assert source == again
    assert everything(source.load()) == everything(again.load()) == everything(loaded)


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "archive"])
def test_an_error_in_python_names_its_file_and_line(tmp_path: Path, zipped: bool) -> None:
    """The message and the traceback lead to the line of the migration, also where that is in an archive."""
    files = {"1_a.py": b"def upgrade(connection):\n    table = 'a'\n    raise ValueError(table)\n"}
    if zipped:
        pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": files}})
    else:
        sys.path.insert(0, str(write(tmp_path / "path", {"shop": {"__init__.py": b"", "migrations": files}})))
    with pytest.raises(MigrationFailed) as caught:
        Migrator(f"sqlite:///{tmp_path}/app.db", PackageSource("shop")).upgrade()
    cause = caught.value.__cause__
    assert cause is not None
    traceback = cause.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback is not None

    assert str(caught.value).startswith("shop/migrations/1_a.py:3: 1_a up: failed: ValueError: a\n     3 |     raise")
    assert caught.value.line == 3
    assert (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno) == ("shop/migrations/1_a.py", 3)


def test_links_in_a_package_stay_inside_its_folder(tmp_path: Path) -> None:
    """As in any directory: a link inside is followed, one that leads out is refused."""
    folder = write(tmp_path / "shop" / "migrations", {"1_a.sql": A})
    write(tmp_path / "shop", {"__init__.py": b"", "outside.sql": B})
    sys.path.insert(0, str(tmp_path))
    (folder / "2_b.sql").symlink_to("1_a.sql")

    assert len(PackageSource("shop").load()) == 2

    (folder / "3_c.sql").symlink_to("../outside.sql")
    reason = "a symbolic link must stay inside the folder of migrations: put the file itself here"
    assert problems(PackageSource("shop").load, "shop/migrations") == [f"3_c.sql: {reason}"]


# Namespace packages


def portion(tmp_path: Path, name: str, files: Mapping[str, Any], *, zipped: bool) -> Path:
    """Make a portion of the package `shop`, and return the folder of migrations in it."""
    if zipped:
        return pack(tmp_path / f"{name}.zip", {"shop": {"migrations": files}}, folders=True) / "shop" / "migrations"
    sys.path.insert(0, str(write(tmp_path / name, {"shop": {"migrations": files}})))
    return tmp_path / name / "shop" / "migrations"


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "archive"])
def test_a_namespace_package_is_like_any_other(tmp_path: Path, zipped: bool) -> None:
    """It needs no `__init__.py`, and portions without migrations do not matter."""
    portion(tmp_path, "one", FILES, zipped=zipped)
    sys.path.insert(0, str(write(tmp_path / "two", {"shop": {"other.py": b""}})))
    migrations = PackageSource("shop").load()

    assert everything(FilesystemSource(write(tmp_path / "m", FILES)).load()) == everything(migrations)
    assert origins(migrations)[0] == "shop/migrations/1_users.up.sql"


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, True)])
def test_all_portions_of_a_namespace_package_count(tmp_path: Path, first: bool, second: bool) -> None:
    """Migrations of several distributions, on disk or in archives, are one history, and named like one."""
    portion(tmp_path, "one", {"1_a.sql": A, "3_c.sql": A, "README.md": b""}, zipped=first)
    portion(tmp_path, "two", {"2_b": {"up.sql": B}, "4_d.up.sql": A, "README.md": b""}, zipped=second)
    portion(tmp_path, "three", {"4_d.down.sql": B}, zipped=second)
    sys.path.insert(0, f"{tmp_path}/./one")  # a portion that is found twice is one
    migrations = PackageSource("shop").load()

    assert [str(m) for m in migrations] == ["1_a", "2_b", "3_c", "4_d"]
    assert migrations[3].down is not None
    assert origins(migrations) == [
        f"shop/migrations/{name}" for name in ("1_a.sql", "2_b/up.sql", "3_c.sql", "4_d.up.sql")
    ]
    Migrator(f"sqlite:///{tmp_path}/app.db", MemoryOf(migrations[:2])).upgrade()
    assert tables(tmp_path / "app.db") == ["a", "b"]


class MemoryOf:
    """A source of what was loaded before."""

    def __init__(self, migrations: Any) -> None:
        self._migrations = migrations

    def load(self) -> Any:
        """Return it."""
        return self._migrations


def test_portions_must_not_have_the_same_migration(tmp_path: Path) -> None:
    """What two portions have under one name, and versions that they share, are refused."""
    one = portion(tmp_path, "one", {"1_a.sql": A, "2_b": {"up.sql": A}, "3_c.sql": A}, zipped=False)
    two = portion(tmp_path, "two", {"1_a.sql": A, "2_b": {"up.sql": B}, "03_c.sql": A}, zipped=False)

    where = f"is in several places: {two} and {one}. Rename one of them, or delete it"

    assert problems(PackageSource("shop").load, "shop/migrations") == [
        "03_c.sql: version 3 is there twice: '03_c.sql' and '3_c.sql'. Rename one of them",
        f"1_a.sql: {where}",
        f"2_b: {where}",
    ]


# What is not there


@pytest.mark.parametrize("backend", _BACKENDS)
def test_a_wheel_without_its_migrations_says_how_to_include_them(tmp_path: Path, backend: str) -> None:
    """What the message says to write into pyproject.toml is what was missing."""
    files = {"1_a.sql": A, "2_b": {"up.sql": B}}
    content = {"src": {"shop": {"__init__.py": b"", "migrations": files}}, ".gitignore": b"*.sql\ndist\nbuild\n"}
    select = '[tool.hatch.build.targets.wheel]\npackages = ["src/shop"]\n' if backend == "hatchling" else ""
    (wheel,) = build(write(tmp_path / "1", content), backend, configuration=select).glob("*/*.whl")
    sys.path.insert(0, str(wheel))
    (message,) = problems(PackageSource("shop").load, "")

    assert message.startswith("shop/migrations: there is no migration in migrations of the package 'shop' as it is")
    sections = re.findall(r"    (\[tool\.\S+])\n    (.*)", message)
    assert [section for section, _ in sections] == [
        "[tool.hatch.build.targets.wheel]",
        "[tool.hatch.build.targets.wheel.force-include]",
        "[tool.setuptools.package-data]",
    ]
    section, line = sections[0 if backend == "hatchling" else 2]
    advice = f"{select}{line}" if backend == "hatchling" else f"{section}\n{line}"
    (wheel,) = build(write(tmp_path / "2", content), backend, configuration=advice).glob("*/*.whl")
    sys.path[0] = str(wheel)
    del sys.modules["shop"]

    assert [str(m) for m in PackageSource("shop").load()] == ["1_a", "2_b"]


def test_migrations_outside_of_the_package_go_into_the_wheel(tmp_path: Path) -> None:
    """The advice for hatchling where the folder is not in the package's own."""
    (wheel,) = build(write(tmp_path / "1", {"shop": {"__init__.py": b""}}), "hatchling", configuration=_SHOP).glob(
        "*/*.whl"
    )
    sys.path.insert(0, str(wheel))
    (message,) = problems(PackageSource("shop").load, "")
    advice = "\n".join(re.findall(r"    (\[.*force-include]|\"migrations\" = .*)", message))
    content = {"shop": {"__init__.py": b""}, "migrations": FILES}
    project = write(tmp_path / "2", content)
    (wheel,) = build(project, "hatchling", configuration=f"{_SHOP}{advice}").glob("*/*.whl")
    sys.path[0] = str(wheel)
    del sys.modules["shop"]

    assert everything(FilesystemSource(project / "migrations").load()) == everything(PackageSource("shop").load())


_SHOP: Final = '[tool.hatch.build.targets.wheel]\npackages = ["shop"]\n'


@pytest.mark.parametrize("migrations", [None, {}, {"README.md": b""}, {"__init__.py": b""}, b"a file"], ids=str)
@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "archive"])
@pytest.mark.parametrize("regular", [False, True], ids=["namespace", "regular"])
def test_a_package_without_migrations_is_an_error(tmp_path: Path, migrations: Any, zipped: bool, regular: bool) -> None:
    """A folder that is not there, one without a migration in it, and a file: nothing is no history."""
    parts = ({"__init__.py": b""} if regular else {}) | ({} if migrations is None else {"migrations": migrations})
    if zipped:
        pack(tmp_path / "shop.zip", {"shop": parts}, folders=True)
    else:
        sys.path.insert(0, str(write(tmp_path / "path", {"shop": parts})))

    (message,) = problems(PackageSource("shop").load, "")

    assert message.startswith("shop/migrations: there is no migration in migrations of the package 'shop'")
    assert '"shop" = ["migrations/**"]' in message


def test_a_package_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    """It is not installed, is no package, or raises: the error names it and keeps the cause."""
    sys.path.insert(0, str(tmp_path))
    write(tmp_path, {"shop_module.py": b"", "shop_broken": {"__init__.py": b"import acme.missing"}})
    write(tmp_path, {"shop_raises": {"__init__.py": b"raise ValueError('no settings')"}, "shop": {"__init__.py": b""}})

    install_it, correct = "install it, or name the right one", "correct that, and call again"
    not_found, no_package = "ModuleNotFoundError: No module named 'acme'", "ImportError: it is a module, not a package"
    for name, reason in {
        "acme": f"there is no package 'acme': {install_it}",
        "acme.shop": f"there is no package 'acme.shop': {install_it}",
        "shop.inner": f"there is no package 'shop.inner': {install_it}",
        "shop_broken": f"the package 'shop_broken' cannot be used ({not_found}): {correct}",
        "shop_raises": f"the package 'shop_raises' cannot be used (ValueError: no settings): {correct}",
        "shop_module": f"the package 'shop_module' cannot be used ({no_package}): {correct}",
        "": f"the package '' cannot be used (ValueError: Empty module name): {correct}",
    }.items():
        with pytest.raises(SourceError) as caught:
            PackageSource(name).load()
        assert caught.value.reason == reason
        assert caught.value.__cause__ is not None
    with pytest.raises(SourceError, match="the package 'shop' cannot be used"):
        PackageSource("shop", "long" * 99).load()


@pytest.mark.parametrize("regular", [True, False], ids=["package", "namespace"])
@pytest.mark.parametrize("when", ["never imported", "found", "imported", "loaded"])
@pytest.mark.parametrize("data", [None, b"", b"PK, and then nothing of an archive"], ids=["gone", "empty", "garbage"])
def test_an_archive_that_is_broken_or_gone_is_named(
    tmp_path: Path, regular: bool, when: str, data: bytes | None
) -> None:
    """Whatever Python's own errors about it are, and whenever it broke."""
    files = {"migrations": {"1_a.sql": A}} | ({"__init__.py": b""} if regular else {})
    path, source = pack(tmp_path / "shop.zip", {"shop": files}, folders=True), PackageSource("shop")
    if when == "found":
        importlib.util.find_spec("elsewhere")
    elif when == "imported":
        importlib.import_module("shop")
    elif when == "loaded":
        source.load()
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    if when == "never imported" and data is None:
        pytest.skip("many a place on sys.path is not there, and need not be")

    (message,) = problems(source.load, "")

    assert message.startswith("shop/migrations: ")
    assert f"{path} is no zip archive that can be read: restore it" in message


@pytest.mark.parametrize("path", ["..", "migrations/../..", "/etc", "a\\b", "C:migrations", "C:/migrations"])
def test_a_path_must_be_inside_the_package(path: str) -> None:
    """What leads out of the package on any system is a mistake in the call."""
    with pytest.raises(ConfigurationError, match="is no path inside a package: give its parts, with / between them"):
        PackageSource("shop", path)


# Archives

_OTHER = "in the archive may mean another place: pack it again, with plain names"
_TWICE = "is there twice in the archive: pack it again, with one of them"
_BOMB = "has more than 100 times its packed size, as a decompression bomb has: leave it out of the archive"


def entry(name: str, data: bytes = B, mode: int = 0, **values: int) -> Callable[[zipfile.ZipFile], None]:
    """Return what adds an entry; `values` are what the archive's directory says of it, whatever is true."""

    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("x")
        info.filename, info.external_attr = name, mode << 16
        info.compress_type = values.get("compress_type", zipfile.ZIP_DEFLATED)
        archive.writestr(info, data)
        for key, value in values.items():
            setattr(info, key, value)

    return add


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        ([entry("shop/migrations/../../2_b.sql")], [f"m: 'shop/migrations/../../2_b.sql' {_OTHER}"]),
        ([entry("shop/migrations/..")], [f"m: 'shop/migrations/..' {_OTHER}"]),
        ([entry("shop/other/../migrations/2_b.sql")], [f"m: 'shop/other/../migrations/2_b.sql' {_OTHER}"]),
        ([entry("../shop/migrations/2_b.sql")], [f"m: '../shop/migrations/2_b.sql' {_OTHER}"]),
        ([entry("/shop/migrations/2_b.sql")], [f"m: '/shop/migrations/2_b.sql' {_OTHER}"]),
        ([entry("//shop/migrations/2_b.sql")], [f"m: '//shop/migrations/2_b.sql' {_OTHER}"]),
        ([entry("C:/shop/migrations/2_b.sql")], [f"m: 'C:/shop/migrations/2_b.sql' {_OTHER}"]),
        ([entry("c:shop\\migrations\\2_b.sql")], [f"m: 'c:shop\\\\migrations\\\\2_b.sql' {_OTHER}"]),
        ([entry("shop\\migrations\\2_b.sql")], [f"m: 'shop\\\\migrations\\\\2_b.sql' {_OTHER}"]),
        ([entry("shop/migrations/2_b\\up.sql")], [f"m: 'shop/migrations/2_b\\\\up.sql' {_OTHER}"]),
        ([entry("shop/migrations//2_b.sql")], [f"m: 'shop/migrations//2_b.sql' {_OTHER}"]),
        ([entry("shop/./migrations/2_b.sql")], [f"m: 'shop/./migrations/2_b.sql' {_OTHER}"]),
        ([entry("shop/migrations/README/../\n.md")], [f"m: 'shop/migrations/README/../\\n.md' {_OTHER}"]),
        ([entry("shop/migrations/1_a.sql")], [f"m/1_a.sql: {_TWICE}"]),
        ([entry("shop/migrations/1_a.sql/up.sql")], [f"m/1_a.sql/up.sql: {_TWICE}"]),
        ([entry("shop/migrations/1_a.sql/")], [f"m/1_a.sql/: {_TWICE}"]),
        ([entry("shop/migrations/2_b/up.sql"), entry("shop/migrations/2_b")], [f"m/2_b: {_TWICE}"]),
        (
            [entry("shop/migrations/2_b.sql", b"../x", stat.S_IFLNK | 0o777)],
            ["m/2_b.sql: a symbolic link in an archive: put the file itself there"],
        ),
        (
            [entry("shop/migrations/2_b/", b"", stat.S_IFLNK | 0o777)],
            ["m/2_b/: a symbolic link in an archive: put the file itself there"],
        ),
        (
            [entry("shop/migrations/2_b.sql", b"", stat.S_IFIFO | 0o777)],
            ["m/2_b.sql: neither a file nor a folder: leave it out of the archive"],
        ),
        (
            [entry("shop/migrations/2_b.sql", flag_bits=1)],
            ["m/2_b.sql: is encrypted: pack the archive without a password"],
        ),
        (
            [entry("shop/migrations/2_b.sql", compress_type=zipfile.ZIP_LZMA)],
            ["m/2_b.sql: is not compressed by deflate: pack the archive with that, or with nothing"],
        ),
        ([entry("shop/migrations/2_b.sql", bytes((1 << 20) + 1))], [f"m/2_b.sql: {_BOMB}"]),
        ([entry("shop/migrations/2_b/seeds/x.csv", bytes(10 << 20))], [f"m/2_b/seeds/x.csv: {_BOMB}"]),
        (
            [entry("shop/migrations/2_b.sql", file_size=(64 << 20) + 1)],
            [
                "m/2_b.sql: has more than 64 MiB: leave it out of the archive, or cut it into several",
            ],
        ),
        (
            [entry(f"shop/migrations/{i}_b.sql", file_size=60 << 20, compress_size=60 << 20) for i in range(2, 11)],
            ["m: its entries have more than 512 MiB unpacked, as a decompression bomb has: leave some out"],
        ),
        (
            [
                entry("/shop/migrations/2_b.sql"),
                entry("shop/migrations/1_a.sql"),
                entry("shop/migrations/3.", flag_bits=1),
            ],
            [
                f"m: '/shop/migrations/2_b.sql' {_OTHER}",
                f"m/1_a.sql: {_TWICE}",
                "m/3.: is encrypted: pack the archive without a password",
            ],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_defects_of_an_archive(
    tmp_path: Path, add: list[Callable[[zipfile.ZipFile], None]], expected: list[str]
) -> None:
    """Each is refused, all of them together and before anything is read, in a package and by any source that reads."""
    path = pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": {"1_a.sql": A}}})
    with zipfile.ZipFile(path, "a") as archive:
        for write_entry in add:
            write_entry(archive)

    def by_hand() -> object:
        return read_folder(zipfile.Path(path, "shop/migrations/"), "shop/migrations", "native")

    expected = [re.sub("^m", "shop/migrations", line) for line in expected]
    assert expected == problems(PackageSource("shop").load, "") == problems(by_hand, "")


def test_an_archive_with_nothing_but_defects_is_not_called_empty(tmp_path: Path) -> None:
    """Names that mean the folder only to careless readers are refused, also where there is no such folder."""
    path = pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b""}})
    with zipfile.ZipFile(path, "a") as archive:
        entry("shop\\migrations\\1_a.sql")(archive)

    assert problems(PackageSource("shop").load, "") == [f"shop/migrations: 'shop\\\\migrations\\\\1_a.sql' {_OTHER}"]


def test_defects_elsewhere_in_an_archive_are_not_ours(tmp_path: Path) -> None:
    """What is not in the folder of migrations, by any reading of its name, is left alone."""
    path = pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": {"1_a.sql": A}}})
    with zipfile.ZipFile(path, "a") as archive:
        for add in (
            entry("shop/other/../1_a.sql"),
            entry("/etc/passwd"),
            entry("shop\\migrations.sql"),
            entry("shop/bomb", bytes(10 << 20)),
            entry("shop/link", b"x", stat.S_IFLNK | 0o777),
            entry("shop/migrations2/1_a.sql", flag_bits=1),
        ):
            add(archive)

    assert [str(m) for m in PackageSource("shop").load()] == ["1_a"]


def test_an_archive_may_have_entries_for_its_folders(tmp_path: Path) -> None:
    """Before or behind what is in them, empty or not."""
    path = pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": FILES}})
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("shop/", "shop/migrations/", "shop/migrations/10_notes/", "shop/migrations/11_empty/"):
            archive.writestr(name, b"")

    assert len(PackageSource("shop").load()) == 4


def test_no_entry_gives_more_than_its_declared_size(tmp_path: Path) -> None:
    """A bomb that says that it is small is not unpacked to see."""
    path = pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": {"1_a.sql": A}}})
    with zipfile.ZipFile(path, "a") as archive:
        entry("shop/migrations/2_b.sql", bytes(64 << 20), file_size=1000)(archive)
    gc.collect()
    data = path.read_bytes()
    expected = "2_b.sql: cannot be read: Bad CRC-32 for file 'shop/migrations/2_b.sql'"
    tracemalloc.start()
    try:
        assert problems(PackageSource("shop").load, "shop/migrations") == [f"{expected} (in {path})"]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            root = zipfile.Path(archive, "shop/migrations/")
            assert problems(lambda: read_folder(root, "m", "native")) == [expected]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 << 20


def test_an_archive_is_open_only_while_it_is_read(tmp_path: Path) -> None:
    """Migrations hold none open, and say so when it has changed, or is gone, when they run."""
    path = pack(tmp_path / "shop.zip", {"shop": {"__init__.py": b"", "migrations": {"1_a.sql": A, "2_b.sql": B}}})
    migrations = PackageSource("shop").load()
    gc.collect()
    opened = [thing for thing in gc.get_objects() if isinstance(thing, zipfile.ZipFile)]

    assert [thing for thing in opened if thing.filename == str(path)] == []
    assert [m.up.read() for m in migrations] == [A.decode(), B.decode()]

    first: Migration = migrations[0]
    look_at(first)
    pack(path, {"shop": {"__init__.py": b"", "migrations": {"1_a.sql": b"DROP TABLE a;\n", "2_b.sql": B}}})
    (problem,) = problems(lambda: look_at(first), "shop/migrations")
    assert problem.startswith("1_a.sql: cannot be read: ")

    path.unlink()
    expected = [f"1_a.sql: cannot be read: No such file or directory (in {path})"]
    assert expected == problems(lambda: look_at(first), "shop/migrations")


@pytest.mark.parametrize("in_memory", [False, True])
def test_any_archive_can_be_read(tmp_path: Path, in_memory: bool) -> None:
    """A source of one's own may read a `zipfile.Path`, of an archive in memory too, which must stay open."""
    expected = everything(FilesystemSource(write(tmp_path / "m", FILES)).load())
    path = pack(tmp_path / "m.zip", {"m": FILES, "n": {}})
    with zipfile.ZipFile(io.BytesIO(path.read_bytes()) if in_memory else path) as archive:
        migrations = read_folder(zipfile.Path(archive) / "m", "archive", "native")

        assert expected == everything(migrations)
        assert origins(migrations)[0] == "archive/1_users.up.sql"
    if in_memory:
        reason = "cannot be read: Attempt to use ZIP archive that was already closed"
        assert problems(migrations[0].up.read, "archive") == [f"1_users.up.sql: {reason}"]
    else:
        assert expected == everything(migrations)
