"""What the tests of faults have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.tally import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.tally import Injected


@pytest.fixture
def injected(request: pytest.FixtureRequest) -> Iterator[Injected]:
    """Count the faults of a test, under the name that its mark `fault` gives them."""
    counts = list[int]()
    mark = request.node.get_closest_marker("fault")
    assert mark is not None, "say which fault it is: @pytest.mark.fault(...)"
    kind = request.getfixturevalue("database").kind if "database" in request.fixturenames else mark.kwargs["kind"]
    yield counts.append
    request.node.user_properties.append((KEY, f"{mark.args[0]}\t{kind}\t{sum(counts) if counts else 1}"))


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> None:
    """Count every test with the mark, also one that does not say how many."""
    if request.node.get_closest_marker("fault") is not None:
        request.getfixturevalue("injected")
