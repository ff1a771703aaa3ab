"""The table of modules: what may import what, and what is nowhere to be found."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path(__file__).parent.parent
_FLOORS: Final = [
    {"model", "scanner", "script", "catalogue"},
    {"errors"},
    {"plan", "source", "layouts", "ledger", "dialects", "python"},
    {"arguments", "run", "connect", "journal", "execute", "survey", "printing", "schema"},
    {"migrator", "dbmigrate"},
    {"testing", "cli", "database", "shadow", "plugin", "__main__"},
]
_TREES: Final = {
    ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_bytes())
    for path in sorted(_ROOT.glob("dbmigrate/**/*.py"))
}


def _imports(tree: ast.Module) -> Iterator[str]:
    """Give the name of every module that is imported anywhere: for types and inside functions as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & set(_TREES) or {node.module}


_IMPORTS: Final = {module: set(_imports(tree)) for module, tree in _TREES.items()}


def _floor(module: str) -> int:
    """Return the floor of a module; a package stands on one floor with all that is in it."""
    name = module.split(".")[1] if "." in module else module
    (floor,) = (number for number, names in enumerate(_FLOORS, 1) if name in names)
    return floor


@pytest.mark.parametrize("module", _TREES)
def test_imports_go_down(module: str) -> None:
    """A module imports from its own floor or from those below it."""
    ours = _IMPORTS[module] & set(_TREES)

    assert sorted(other for other in ours if _floor(other) > _floor(module)) == []


def test_there_is_no_circle() -> None:
    """Not even through imports for types only."""
    TopologicalSorter({module: found & set(_TREES) for module, found in _IMPORTS.items()}).prepare()


@pytest.mark.parametrize("module", _TREES)
def test_only_two_packages_are_needed(module: str) -> None:
    """Besides the standard library there are sqlalchemy and typing_extensions."""
    packages = {name.partition(".")[0] for name in _IMPORTS[module]}

    # The command line takes dotenv where it is installed, and nobody else does.
    known = {"dbmigrate", "sqlalchemy", "typing_extensions"} | (
        {"dotenv"} if module == "dbmigrate.cli.config" else set()
    )
    if module == "dbmigrate.plugin.pytest_dbmigrate":
        known.add("pytest")  # which loads it

    assert packages - sys.stdlib_module_names <= known


def _found(module: str, *words: str) -> list[str]:
    """Return where words are used: names, attributes with or without what they belong to, and imports of them."""
    places = []
    for node in ast.walk(_TREES[module]):
        if isinstance(node, ast.ImportFrom):
            used = {text for alias in node.names for text in (alias.name, f"{node.module}.{alias.name}")}
        elif isinstance(node, ast.Attribute):
            used = {node.attr, f"{ast.unparse(node.value).rpartition('.')[2]}.{node.attr}"}
        else:
            used = {node.id} if isinstance(node, ast.Name) else set()
        places += [f"{module}:{node.lineno}: {word}" for word in words if word in used]  # type: ignore[attr-defined]
    return places


@pytest.mark.parametrize("module", [name for name in _TREES if not name.startswith("dbmigrate.dialects")])
def test_only_dialects_know_which_database_it_is(module: str) -> None:
    """Outside of dialects/ nothing asks for the name of a dialect or a driver."""
    assert _found(module, "dialect.name", "dialect_name", "drivername", "get_backend_name", "get_dialect") == []


@pytest.mark.parametrize("module", [name for name in _TREES if name.split(".")[1:2] not in (["cli"], ["__main__"])])
def test_a_library_does_not_print_exit_or_look_around(module: str) -> None:
    """No output, no end of the process, no setting from the environment."""
    printing = _found(module, "print", "sys.stdout", "sys.stderr")
    ending = _found(module, "sys.exit", "exit", "quit", "os._exit", "os.abort")
    ending += [ast.unparse(node) for node in ast.walk(_TREES[module]) if _raises(node, "SystemExit")]
    looking = _found(module, "os.environ", "os.environb", "os.getenv", "sys.argv")

    assert printing + ending + looking == []


def _raises(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc).startswith(name)


def _loaded(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_it_loads_little() -> None:
    """`import dbmigrate` loads no driver, no dialect and no machinery beyond what `import sqlalchemy` loads."""
    added = _loaded("import dbmigrate") - _loaded("import sqlalchemy")
    ours = {name for name in added if name.partition(".")[0] == "dbmigrate"}

    assert ours & {"dbmigrate.dialects.sqlite", "dbmigrate.dialects.postgresql", "dbmigrate.dialects.mysql"} == set()
    assert {name for name in ours if _floor(name) > _floor("dbmigrate")} == set()
    seldom = ("dbmigrate.schema", "dbmigrate.catalogue", "dbmigrate.journal", "dbmigrate.dialects.evidence")
    assert {name for name in ours if name.startswith(seldom)} == set()
    assert {name for name in added if name.startswith("sqlalchemy.dialects.")} == set()
    assert {name.partition(".")[0] for name in added - ours} <= sys.stdlib_module_names | {"typing_extensions"}
    assert added & {"sqlite3", "asyncio", "argparse", "multiprocessing", "concurrent.futures", "unittest"} == set()


def test_nothing_else_is_at_the_top_of_the_repository() -> None:
    """What a test leaves in the working directory is easily committed with the rest."""
    git = shutil.which("git")
    root = _ROOT.resolve()
    if git is None or not (root / ".git").exists():
        pytest.skip("this is no checkout")
    # the checkout may be somebody else's
    listed = [git, "-c", f"safe.directory={root}", "ls-files", "-z"]
    files = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")

    assert {name.partition("/")[0] for name in files if name} == {
        *(".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md"),
        *("dbmigrate", "examples", "pyproject.toml", "tests"),
    }
