"""Random shifts and flips: image by image by slicing, and in the standard phase alone."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.training.augmentation import augment
from gencheck.training.gated import GatedNetwork
from gencheck.training.loop import Training, fit
from gencheck.training.phases import two_phase
from tests.training.data import blobs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(image: Tensor, down: int, across: int) -> Tensor:
    """What stands at (i, j) afterwards stood at (i + down, j + across), or nowhere: 0."""
    out = torch.zeros_like(image)
    height, width = image.shape[-2:]
    for i in range(height):
        for j in range(width):
            if 0 <= i + down < height and 0 <= j + across < width:
                out[..., i, j] = image[..., i + down, j + across]
    return out


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (3, 5, 4), (5, 4, 3)])
def test_every_image_is_a_shifted_and_mirrored_one_of_its_own(shape: tuple[int, ...]) -> None:
    items = torch.rand((400, *shape), generator=generator(1)) + 0.1
    kept = items.clone()
    found = augment(items, 1, True, generator())
    assert torch.equal(items, kept)
    seen: dict[tuple[int, int, bool], int] = {}
    for image, own in zip(items, found, strict=True):
        if shape == (5, 4, 3):
            image, own = image.movedim(-1, 0), own.movedim(-1, 0)
        (how,) = {
            (down, across, mirrored)
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
            for mirrored in (False, True)
            if torch.equal(
                own, (lambda x, m: x.flip(-1) if m else x)(moved(image, down, across), mirrored)
            )
        }
        seen[how] = seen.get(how, 0) + 1
    # all 18 ways, none of them rare: 400/18 = 22 of each, five deviations below is 0
    assert len(seen) == 18
    assert max(seen.values()) < 50


def test_what_is_not_asked_for_is_not_drawn() -> None:
    items, random = torch.rand((3, 4, 4)), generator()
    before = random.get_state()
    assert torch.equal(augment(items, 0, False, random), items)
    assert torch.equal(before, random.get_state())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def test_the_freeze_phase_sees_its_items_as_they_are() -> None:
    data, how = blobs(60, shape=(4, 4)), Training(3, 8, shift=1, flip=True)
    run = two_phase(network(), data, 0.5, how, seed=2)
    gates = network()
    first, second = (torch.from_numpy(part) for part in (run.standard, run.freeze))
    losses = fit(gates, data[0][first], data[1][first], how, seed=2, stage="standard")
    assert losses == run.standard_losses
    by_hand = GatedNetwork(gates, copy.deepcopy(gates))
    plain = Training(3, 8)
    losses = fit(by_hand, data[0][second], data[1][second], plain, seed=2, stage="freeze")
    assert losses == run.freeze_losses
    assert run.standard_losses != two_phase(network(), data, 0.5, plain, seed=2).standard_losses


def test_refusals() -> None:
    table = blobs(20, shape=(16,))
    with pytest.raises(InputError, match=r"--shift or --flip: .*items of shape \(16,\)"):
        fit(network(), *table, Training(1, shift=1), seed=0)
    with pytest.raises(InputError, match="more than 4 pixels"):
        fit(network(), *blobs(20, shape=(4, 9)), Training(1, shift=4), seed=0)
    with pytest.raises(InputError, match="two_phase, freeze"):
        two_phase(network(), blobs(20, shape=(4, 4)), 0.5, Training(1), Training(1, flip=True))


def test_the_run_records_it(tmp_path: Path) -> None:
    items, targets = blobs(60, shape=(4, 4))
    labels = targets.argmax(1).numpy().astype(np.int64)
    np.savez(tmp_path / "d.npz", x=items.numpy(), y=labels)
    arguments = ["train", "--data", str(tmp_path / "d.npz"), "--arch", "mlp:8", "--epochs", "2"]
    arguments += ["--two-phase", "--alpha", "0.5", "--out", str(tmp_path / "run"), "--json"]
    made = CliRunner().invoke(app, [*arguments, "--shift", "2", "--flip"])
    assert made.exit_code == 0, made.output
    inputs = json.loads(made.stdout)["inputs"]
    assert (inputs["training"]["shift"], inputs["training"]["flip"]) == (2, True)
    assert (inputs["freeze"]["shift"], inputs["freeze"]["flip"]) == (0, False)
    other = CliRunner().invoke(app, [*arguments, "--shift", "1", "--flip"])
    assert other.exit_code == 2
    assert "training shift (2, not 1)" in " ".join(other.stderr.split())
