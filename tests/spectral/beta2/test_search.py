"""The search for the largest path: how many blocks are scored at once changes nothing."""

import pytest

from gencheck.spectral.beta2 import search
from gencheck.spectral.beta2.search import best_path
from tests.cases import random_case
from tests.networks import ZOO
from tests.spectral.beta2.test_branch import spaces


@pytest.mark.parametrize("name", ZOO)
def test_blocks_may_be_scored_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # without random starts, all rests on the beam
    monkeypatch.setattr(search, "random_path", lambda *_: ())
    for space, weights in spaces(random_case(name)):
        together = best_path(space, weights, 0)[0]
        with monkeypatch.context() as patched:
            patched.setattr(search, "_SCORED_ENTRIES", 1)
            assert best_path(space, weights, 0)[0] == pytest.approx(together, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ZOO)
def test_the_beam_alone_finds_the_largest_of_few_paths(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "random_path", lambda *_: ())
    case = random_case(name)
    for (space, weights), truth in zip(spaces(case), case.truth().v_sup, strict=True):
        value, _ = best_path(space, weights, 0)
        assert value <= truth * (1 + 1e-9)
        assert value >= 0.9 * truth
