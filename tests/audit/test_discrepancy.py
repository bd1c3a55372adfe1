"""The maximum mean discrepancy against sums over pairs of items, in blocks and in single precision."""

import math

import numpy as np
import pytest
import torch

from gencheck.audit import discrepancy
from gencheck.audit.discrepancy import mean_discrepancies
from gencheck.audit.question import Labelled


def drawn(counts: tuple[int, int], seed: int = 0) -> list[Labelled]:
    """Two sets of pictures in [0, 1], the second a little brighter, with one of three labels."""
    random = np.random.default_rng(seed)
    return [
        Labelled(
            torch.from_numpy(random.uniform(size=(n, 2, 3)) * (0.8 + 0.2 * at)),
            torch.eye(3, dtype=torch.float64)[torch.from_numpy(random.integers(3, size=n))],
        )
        for at, n in enumerate(counts)
    ]


def brute(parts: list[Labelled], scale_of: slice = slice(None)) -> tuple[float, float]:
    """Term by term, in float64."""
    x = np.concatenate([part.items.double().flatten(1).numpy() for part in parts])
    y = np.concatenate([part.targets.numpy() for part in parts])
    m, n = (len(part.items) for part in parts)
    squares = [[float(((a - b) ** 2).sum()) for b in x] for a in x]
    some = range(m + n)[scale_of]
    apart = sorted(squares[i][j] for i in some for j in some if i < j and squares[i][j] > 0)
    # torch's median, the lower one of an even number
    scale = apart[(len(apart) - 1) // 2]
    sign = [-1 / m] * m + [1 / n] * n
    alone = joint = 0.0
    for i in range(m + n):
        for j in range(m + n):
            term = sign[i] * sign[j] * math.exp(-squares[i][j] / scale)
            alone += term
            joint += term * float(y[i] @ y[j])
    return math.sqrt(alone), math.sqrt(joint)


@pytest.mark.parametrize("tile", [2, 5, 2048])
@pytest.mark.parametrize("counts", [(4, 5), (9, 2), (1, 12)])
def test_it_is_a_sum_over_pairs_in_blocks_of_any_size(
    counts: tuple[int, int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discrepancy, "_TILE", tile)
    parts = drawn(counts)
    assert mean_discrepancies(*parts) == pytest.approx(brute(parts), rel=1e-9)


def test_items_that_stand_twice_are_at_no_distance() -> None:
    parts = drawn((6, 6))
    copied = [Labelled(part.items.repeat(2, 1, 1), part.targets.repeat(2, 1)) for part in parts]
    assert mean_discrepancies(*copied) == pytest.approx(brute(copied), rel=1e-6)
    assert mean_discrepancies(parts[0], parts[0]) == pytest.approx((0, 0), abs=1e-7)
    one = Labelled(torch.zeros(2, 3), torch.eye(2, dtype=torch.float64))
    assert mean_discrepancies(one, one)[1] == 0


def test_single_precision_keeps_five_digits_far_from_the_origin() -> None:
    parts = drawn((40, 30))
    far = [Labelled(part.items + 30, part.targets) for part in parts]
    single = [Labelled(part.items.float(), part.targets) for part in far]
    assert mean_discrepancies(*single) == pytest.approx(brute(far), rel=1e-5)


def test_many_items_take_their_scale_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discrepancy, "_SCALE_ITEMS", 10)
    parts = drawn((13, 16))
    assert mean_discrepancies(*parts) == pytest.approx(brute(parts, slice(None, None, 3)), rel=1e-9)
    # the test can fail: all items have another scale
    assert mean_discrepancies(*parts) != pytest.approx(brute(parts), rel=1e-4)
