"""The source passes the type checkers and the linter."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def check(request: pytest.FixtureRequest, tool: str, *arguments: str) -> None:
    """Run a tool on the repository; the test fails with what it says."""
    if importlib.util.find_spec(tool) is None:
        reason = f"{tool} is not installed"
        if request.config.getoption("--require-servers"):
            pytest.fail(reason)
        pytest.skip(reason)
    result = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.fail(result.stdout, pytrace=False)


def test_mypy(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The types are right as mypy sees them."""
    # Its cache saves much time, but may be somebody else's if the checkout is.
    cache = ROOT / ".mypy_cache"
    if not os.access(cache if cache.exists() else ROOT, os.W_OK):
        cache = tmp_path
    check(request, "mypy", "--strict", f"--cache-dir={cache}", "dbmigrate", "tests", "examples")


def test_pyright(request: pytest.FixtureRequest) -> None:
    """The types are right as pyright sees them."""
    # It would look for the packages beside the first Python on the PATH.
    check(request, "pyright", "--pythonpath", sys.executable)


def test_ruff_check(request: pytest.FixtureRequest) -> None:
    """The linter has nothing to say."""
    check(request, "ruff", "check", "--no-cache")


def test_ruff_format(request: pytest.FixtureRequest) -> None:
    """The source is formatted."""
    check(request, "ruff", "format", "--check", "--no-cache")
