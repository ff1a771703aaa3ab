"""What the tests of faults have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.tally import KEY, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.tally import Injected


@pytest.fixture
def injected(request: pytest.FixtureRequest) -> Iterator[Injected]:
    """Count the faults of a test, under the name that its mark `fault` gives them."""
    counts = list[tuple[int, ...]]()
    mark = request.node.get_closest_marker("fault")
    assert mark is not None, "say which fault it is: @pytest.mark.fault(...)"
    kind = request.getfixturevalue("database").kind if "database" in request.fixturenames else mark.kwargs["kind"]

    request.node.user_properties.append((NAME, mark.args[0]))

    def count(number: int, /, *, doubts: int = 0, settled: int = 0, wrongly: int = 0) -> None:
        counts.append((number, doubts, settled, wrongly))

    yield count
    sums = [sum(column) for column in zip(*counts, strict=True)] or [1, 0, 0, 0]
    request.node.user_properties.append((KEY, "\t".join(map(str, (mark.args[0], kind, *sums)))))


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> None:
    """Count every test with the mark, also one that does not say how many."""
    if request.node.get_closest_marker("fault") is not None:
        request.getfixturevalue("injected")
