"""Type checkers and linters, each run once on the same input."""

from __future__ import annotations

import importlib.util
import sys
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent


def check(request: pytest.FixtureRequest, folder: Path, tool: str, *arguments: str, own: Iterable[Path] = ()) -> None:
    """Run a tool in a folder; the test fails with what it says.

    Nothing is run if it had nothing to say of the same input before: of the repository, of `own` files beside it, with
    the same packages installed. pytest's cache remembers that, so `--cache-clear` makes it run.
    """
    if importlib.util.find_spec(tool) is None:
        reason = f"{tool} is not installed"
        if request.config.getoption("--require-servers"):
            pytest.fail(reason)
        pytest.skip(reason)
    key, mark = f"dbmigrate/{request.node.name}", _mark(own, tool, *arguments)
    cache = getattr(request.config, "cache", None)
    if cache is not None and cache.get(key, None) == mark:
        return
    result = run(
        [sys.executable, "-m", tool, *arguments], cwd=folder, stdout=PIPE, stderr=STDOUT, text=True, check=False
    )
    if result.returncode:
        pytest.fail(result.stdout, pytrace=False)
    if cache is not None:
        cache.set(key, mark)


def _mark(own: Iterable[Path], *words: str) -> str:
    """Return a hash of all that what a tool says can depend on."""
    digest = sha256("\0".join((sys.version, *words)).encode())
    packages = sorted(f"{package.name} {package.version}" for package in distributions())
    files = [
        *own,
        ROOT / "pyproject.toml",
        *(p for d in ("dbmigrate", "tests", "examples") for p in (ROOT / d).rglob("*")),
    ]
    for path in sorted(path for path in files if path.suffix in (".py", ".pyi", ".toml") and path.is_file()):
        packages += [path.name if path in own else str(path), sha256(path.read_bytes()).hexdigest()]
    digest.update("\0".join(packages).encode())
    return digest.hexdigest()
