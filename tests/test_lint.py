"""The source passes the type checkers and the linter."""

import os
import sys
from pathlib import Path

import pytest

from tests.checkers import ROOT, check


def test_mypy(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The types are right as mypy sees them."""
    # Its cache saves much time, but may be somebody else's if the checkout is.
    cache = ROOT / ".mypy_cache"
    if not os.access(cache if cache.exists() else ROOT, os.W_OK):
        cache = tmp_path
    check(request, ROOT, "mypy", "--strict", f"--cache-dir={cache}", "dbmigrate", "tests", "examples")


def test_pyright(request: pytest.FixtureRequest) -> None:
    """The types are right as pyright sees them."""
    # It would look for the packages beside the first Python on the PATH.
    check(request, ROOT, "pyright", "--pythonpath", sys.executable)


def test_ruff_check(request: pytest.FixtureRequest) -> None:
    """The linter has nothing to say."""
    check(request, ROOT, "ruff", "check", "--no-cache")


def test_ruff_format(request: pytest.FixtureRequest) -> None:
    """The source is formatted."""
    check(request, ROOT, "ruff", "format", "--check", "--no-cache")
