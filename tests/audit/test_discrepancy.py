"""The maximum mean discrepancy against sums over pairs of items, in blocks and in single precision."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch

from gencheck.audit import discrepancy
from gencheck.audit.discrepancy import Discrepancies
from gencheck.audit.question import Labelled
from gencheck.spectral.kernel.tiles import upper_tiles
from gencheck.spectral.ranks import dealt


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


def mean_discrepancies(sample: Labelled, reference: Labelled) -> tuple[float, float]:
    """Of two sets alone."""
    return Discrepancies(reference).of(sample)


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


def test_sets_do_not_change_what_the_next_one_is_found_to_be() -> None:
    reference, *sets = (part for seed in range(2) for part in drawn((11, 7), seed))
    shared = Discrepancies(reference)
    assert [shared.of(each) for each in sets] == [mean_discrepancies(s, reference) for s in sets]


class Recorded:
    """Ranks as one of `size` sees them, which keeps its own lanes' sums and gets none of the others'."""

    neighbours = 1

    def __init__(self, number: int, size: int) -> None:
        self.number, self.size = number, size
        self.sums: list[dict[int, torch.Tensor]] = []

    def share(self, count: int) -> range:
        return dealt(count, self.size)[self.number]

    def summed(
        self, count: int, make: Callable[[int], torch.Tensor], like: torch.Tensor
    ) -> torch.Tensor:
        self.sums.append({lane: make(lane) for lane in self.share(count)})
        return torch.zeros_like(like)

    def joined(self, part: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def completed(self, whole: torch.Tensor, parts: Sequence[slice]) -> None:
        raise NotImplementedError

    def require_agreement(self, facts: Mapping[str, str]) -> None:
        raise NotImplementedError


def entries(count: int) -> int:
    """How many there are in blocks of a set with itself."""
    shapes = (tile.shape for tile in upper_tiles(count, discrepancy._TILE))
    return sum(rows * columns for rows, columns in shapes)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_references_own_distances_are_formed_once_by_one_rank(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all ranks and for all sets: every other pair once, and the pairs that give each scale."""
    monkeypatch.setattr(discrepancy, "_TILE", 4)
    formed = []
    distances = discrepancy._distances

    def counted(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        formed.append(len(rows) * len(columns))
        return distances(rows, columns)

    monkeypatch.setattr(discrepancy, "_distances", counted)
    reference, *sets = (part for seed in range(2) for part in drawn((21, 17), seed))
    everyone = [Recorded(number, size) for number in range(size)]
    for ranks in everyone:
        shared = Discrepancies(reference, ranks=ranks)
        for each in sets:
            shared.of(each)
    n, counts = len(reference.items), [len(each.items) for each in sets]
    scales = size * sum((m + n) ** 2 for m in counts)
    assert sum(formed) - scales == entries(n) + sum(entries(m) + m * n for m in counts)
    # each sum's lanes are all there, and add up in their order to what one process has
    alone = [Discrepancies(reference).of(each) for each in sets]
    for at, found in enumerate(alone):
        forms = torch.zeros(4, dtype=torch.float64)
        for number in (2 * at, 2 * at + 1):
            lanes = {lane: each for ranks in everyone for lane, each in ranks.sums[number].items()}
            total = lanes[0]
            for lane in range(1, len(lanes)):
                total = total + lanes[lane]
            forms += total
        assert (float(forms[0].sqrt()), float(forms[1:].sum().sqrt())) == found
