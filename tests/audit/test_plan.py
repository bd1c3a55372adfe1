"""What a plan says before a run, against what the run itself counts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gencheck.audit.memory_plan import memory_plan
from gencheck.audit.options import AuditOptions
from gencheck.audit.pilot_items import pilot_items, prepared_items
from gencheck.audit.plan import counts_of, largest_share, plan_audit
from gencheck.audit.question import Question
from gencheck.audit.run import audit_of
from gencheck.errors import InputError
from gencheck.progress import SilentProgress
from gencheck.spectral.kernel import executors
from gencheck.spectral.kernel.executors import MatrixExecutor
from gencheck.spectral.kernel.gram import own_tiles
from gencheck.spectral.kernel.strips import Strips
from gencheck.spectral.kernel.tiles import lanes_of, upper_tiles
from gencheck.spectral.ranks import LANES, Alone, dealt
from tests.cases import Case, random_case
from tests.networks import ZOO

OPTIONS = AuditOptions(tile=5, batch_size=4, beta2_budget=0.1, permutations=3)


class Counting(SilentProgress):
    """Adds up what stages say they have done."""

    def __init__(self) -> None:
        self.done: dict[str, float] = {}

    def start(self, stage: str, total: float, unit: str) -> None:
        self.stage = stage
        self.done[stage] = 0.0

    def advance(self, amount: float) -> None:
        self.done[self.stage] += amount


def question(case: Case, options: AuditOptions = OPTIONS) -> Question:
    return Question(case.subject, case.sample, case.reference, "classification", options)


@pytest.mark.parametrize("name", ZOO)
def test_counts_are_those_of_the_run(name: str) -> None:
    asked = question(random_case(name))
    kernel = replace(asked.kernel(), options=replace(asked.kernel().options, tile=5))
    counts = counts_of(kernel, asked.count, "cpu", asked.options.dtype.itemsize)
    features = kernel.features(asked.entering())
    seen = Counting()
    gram = kernel.gram(features, progress=seen)
    assert counts.gates_bytes + counts.items_bytes == features.factors.nbytes
    assert counts.gram_bytes == gram.nbytes
    assert seen.done["gram"] * asked.options.dtype.itemsize == counts.gram_bytes


@pytest.mark.parametrize("name", ["four_hidden", "conv_pool", "residual"])
def test_a_plan_against_its_run(name: str) -> None:
    case = random_case(name)
    plan, found = plan_audit(question(case)), audit_of(question(case))
    count = len(case.sample.items) + len(case.reference.items)
    assert plan.counts.pairs == count * (count + 1) // 2
    assert plan.counts.pairs == round(found.pairs_per_second * found.seconds["gram"])
    assert plan.counts.flops == found.flops
    assert plan.counts.gram_bytes == found.nbytes
    assert (plan.executor, plan.storage) == (found.kernel.executor, found.kernel.storage)
    assert set(plan.seconds) == set(found.seconds)
    assert all(seconds >= 0 for seconds in plan.seconds.values())
    # so few items are all in the pilot: as many products, but for the order that they start from
    products, _ = plan.measured.products["beta1"]
    # one that clears the start, one for each step and the next, two evaluations, ‖v‖₂, and z·u
    assert abs(products - (found.beta1.iterations + 6)) <= 3
    assert plan.measured.items == plan.measured.gram_items == count


def test_a_plan_leaves_nothing_behind(tmp_path: Path) -> None:
    case = random_case("four_hidden")
    options = replace(OPTIONS, gram="disk", cache=tmp_path)
    plan = plan_audit(question(case, options))
    assert plan.storage == "disk"
    assert not list(tmp_path.iterdir())


def test_where_tiles_are_formed_anew_the_products_take_the_time() -> None:
    case = random_case("four_hidden")
    held, anew = (
        plan_audit(question(case, replace(OPTIONS, gram=gram))) for gram in ("memory", "recompute")
    )
    assert anew.storage == "recompute"
    assert anew.memory.gram < held.memory.gram
    assert anew.counts == held.counts


def test_landmarks_are_refused() -> None:
    case = random_case("four_hidden")
    options = AuditOptions(landmarks=3)
    with pytest.raises(InputError, match="--plan with --landmarks"):
        plan_audit(question(case, options))


def test_too_little_memory_is_refused_as_in_the_run() -> None:
    case = random_case("four_hidden")
    asked = question(case, replace(OPTIONS, memory=2**20))
    messages = []
    for measure in (plan_audit, audit_of):
        with pytest.raises(InputError) as refused:
            measure(asked)
        messages.append(str(refused.value))
    assert messages[0] == messages[1]


class Rank(Alone):
    """One of several, as far as shares go."""

    def __init__(self, number: int, size: int) -> None:
        self.number, self.size = number, size

    def share(self, count: int) -> range:
        return dealt(count, self.size)[self.number]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_and_memory_of_ranks(size: int) -> None:
    tiles = upper_tiles(300, 32)
    lanes = lanes_of(tiles, LANES)
    held = [
        sum(
            tiles[number].shape[0] * tiles[number].shape[1]
            for number in own_tiles(lanes, Rank(r, size))
        )
        for r in range(size)
    ]
    assert largest_share(tiles, size) == max(held) / sum(held)
    asked = question(random_case("four_hidden"))
    kernel = replace(asked.kernel(), ranks=Rank(0, size))
    alone = memory_plan(asked.kernel(), 5000, OPTIONS)
    assert memory_plan(kernel, 5000, OPTIONS).gram == alone.gram // size


@pytest.mark.parametrize("kept", [0, 10**9])
def test_strips_are_made_as_often_as_they_are_counted(kept: int) -> None:
    """The least recently used is dropped: counted by the strips' own bookkeeping."""
    asked = question(random_case("conv_pool"))
    items = asked.entering()
    kernel = asked.kernel()
    kernel = replace(kernel, options=replace(kernel.options, tile=8, kept_bytes=kept))
    features = kernel.features(items)
    work = MatrixExecutor(kernel.windows, features.factors, 8, 0)
    work.cuts = replace(work.cuts, step=2, strip=2, passing=False)
    strips = Strips(work, len(items), kept)
    made = 0
    for tile in upper_tiles(len(items), 8):
        for rows, columns in strips.steps(tile):
            for part in (rows, columns):
                made += part.start // 2 not in strips.made
                strips.of(part)
    counted = prepared_items(work, len(items), kernel)
    assert counted in {made * 2, len(items)}
    assert made * 2 >= len(items)
    assert (kept == 0) == (made * 2 > len(items) + 1)


def test_a_pilot_is_treated_as_the_run_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    asked = question(random_case("four_hidden"))
    kernel = asked.kernel()
    factors = kernel.features(asked.entering()).factors
    flops = kernel.windows.flops_per_pair
    monkeypatch.setattr(executors, "_PAYING_FLOPS", flops * 300_000 * 300_001 / 2)
    for total in (10, 1000, 299_999, 300_000):
        few = replace(factors, stands_for=total).taken(torch.arange(5))
        work = MatrixExecutor(kernel.windows, few, 8, 2**20)
        assert ("fused" in work.settings) == (total == 300_000)
        assert pilot_items(kernel.windows, total) <= total
