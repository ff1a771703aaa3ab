"""The list of promises (promises.md) names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

_TESTS: Final = Path(__file__).parent
_ROWS: Final = re.findall(r"^\| (?!promise|---)(.+?) \| (.+) \|$", (_TESTS / "promises.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("promise", "tests"), _ROWS, ids=[promise for promise, _ in _ROWS])
def test_a_promise_has_its_tests(promise: str, tests: str) -> None:
    """Each test that is named is in the file that is named; a file alone holds several about it."""
    names = re.findall(r"`([^`]+)`", tests)
    assert names, promise
    for name in names:
        file, _, test = name.partition("::")
        text = (_TESTS / file).read_text()
        assert re.search(rf"def {test}\(" if test else r"def test_|class Test", text), name


def test_there_are_promises() -> None:
    """The list was read."""
    assert len(_ROWS) > 60
