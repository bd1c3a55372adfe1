"""Two-phase training: what moves, what stays, and what a kill leaves."""

import copy
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gencheck.errors import InputError, UnsupportedModel
from gencheck.network.algebra import logits
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.training.loop import Training, fit
from gencheck.training.phases import phase_positions, two_phase
from tests.processes import forked
from tests.training.data import blobs


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(8, 3),
    )


TRAINING = Training(epochs=3, batch_size=16, learning_rate=0.01)
DATA = blobs(120, shape=(1, 4, 4))


def test_gates_are_bitwise_unchanged_through_the_freeze_phase() -> None:
    items, _ = DATA
    alone = two_phase(network(), DATA, 0.5, TRAINING, Training(epochs=0), seed=1)
    run = two_phase(network(), DATA, 0.5, TRAINING, TRAINING, seed=1)
    planes = [
        logits(lower(trace(module, (1, 4, 4))), items)[1] for module in (alone.gates, run.gates)
    ]
    assert planes[0].keys() == planes[1].keys()
    for position, bits in planes[0].items():
        assert all(torch.equal(a, b) for a, b in zip(bits, planes[1][position], strict=True))
    for name, value in alone.gates.state_dict().items():
        assert torch.equal(value, run.gates.state_dict()[name]), name
    moved = [
        not torch.equal(a, b)
        for a, b in zip(run.gates.parameters(), run.weights.parameters(), strict=True)
    ]
    assert all(moved)


def test_the_freeze_phase_lowers_the_loss_on_its_items() -> None:
    run = two_phase(network(), DATA, 0.3, TRAINING, Training(epochs=8, learning_rate=0.01), seed=0)
    assert run.freeze_losses[-1] < run.freeze_losses[0]
    assert len(run.standard_losses) == 3
    assert len(run.freeze_losses) == 8


def test_alpha_one_is_standard_training() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    run = two_phase(model, DATA, 1.0, TRAINING, seed=4)
    plain = copy.deepcopy(network())
    losses = fit(plain, *DATA, TRAINING, seed=4, stage="standard")
    assert run.standard_losses == losses
    assert run.freeze_losses == []
    for module in (run.gates, run.weights):
        for name, value in plain.state_dict().items():
            assert torch.equal(value, module.state_dict()[name]), name
    # the caller's model is left as it was
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_parts_are_disjoint_and_seeded() -> None:
    standard, freeze = phase_positions(50, 0.3, 7)
    assert len(standard) == 15
    assert sorted(np.r_[standard, freeze]) == list(range(50))
    assert np.array_equal(standard, phase_positions(50, 0.3, 7)[0])
    assert not np.array_equal(standard, phase_positions(50, 0.3, 8)[0])


def test_seeded() -> None:
    state = torch.get_rng_state()
    runs = [two_phase(network(), DATA, 0.5, TRAINING, seed=3) for _ in range(2)]
    pairs = zip(runs[0].weights.parameters(), runs[1].weights.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    torch.manual_seed(0)
    assert len(state) == len(torch.get_rng_state())


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5, float("nan"), 0.001])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(InputError, match="--alpha"):
        phase_positions(100, alpha, 0)


def test_refused_before_any_training() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.Softmax(1), nn.Linear(4, 3))
    with pytest.raises(UnsupportedModel, match="softmax"):
        two_phase(model, DATA, 0.5, Training(epochs=10**9))


def test_a_loss_that_explodes_is_an_error() -> None:
    with pytest.raises(InputError, match=r"Lower --learning-rate"):
        fit(network(), *DATA, Training(epochs=20, learning_rate=1e30), seed=0)


def test_state_of_another_training_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "training.state"
    fit(network(), *DATA, TRAINING, seed=0, state=state)
    with pytest.raises(InputError, match="another training, which differs in seed"):
        fit(network(), *DATA, TRAINING, seed=1, state=state)
    state.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="a damaged state"):
        fit(network(), *DATA, TRAINING, seed=0, state=state)


def run_both_phases(folder: Path, pause: float = 0.0) -> None:
    """Train in two phases with a state in `folder`, and leave the weights there."""

    def term(logits: torch.Tensor) -> torch.Tensor:
        time.sleep(pause)
        return logits.sum() * 0

    long = replace(TRAINING, epochs=12)
    # as many threads as a forked process has: a state of another number is refused
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = two_phase(network(), DATA, 0.5, long, long, seed=2, regulariser=term, folder=folder)
    torch.set_num_threads(threads)
    torch.save(run.network.state_dict(), folder / "end.pt")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["standard", "freeze"])
def test_killed_and_resumed_ends_at_the_same_weights(tmp_path: Path, stage: str) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir()
    resumed.mkdir()
    run_both_phases(whole)
    victim = forked(run_both_phases, resumed, 0.02)
    deadline = time.monotonic() + 600
    while not (resumed / f"{stage}.state").exists():
        assert victim.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim.kill()
    victim.join()
    assert not (resumed / "end.pt").exists()
    run_both_phases(resumed)
    ends = [torch.load(f / "end.pt", weights_only=True) for f in (whole, resumed)]
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
