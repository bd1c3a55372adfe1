"""Images brought to one size as they are read, recorded beside the other steps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.load.resize import Resize, resize_of

runner = CliRunner()


@pytest.mark.parametrize("size", [(7, 5), (31, 40)])
def test_colours_are_resized_as_pillow_does_and_torch_nearly(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 16, 3)).astype(np.uint8)
    height, width = size
    made = Resize(height, width).applied(image, "d")
    assert made.dtype == np.uint8
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(made, np.asarray(whole))
    # the same filter, written by others: a last digit may round either way
    own = functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None].double(),
        (height, width),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )[0].permute(1, 2, 0)
    np.testing.assert_allclose(made, own.numpy(), atol=1.01)


def test_channels_come_first_or_last_and_numbers_stay_numbers() -> None:
    image = np.random.default_rng(1).random((3, 20, 16))
    made = Resize(8, 9).applied(image, "d")
    assert made.shape == (3, 8, 9)
    last = Resize(8, 9).applied(image.transpose(1, 2, 0), "d")
    np.testing.assert_array_equal(made.transpose(1, 2, 0), last)
    # antialiased: every pixel counts, so that the mean stays
    assert made.mean() == pytest.approx(image.mean(), abs=0.02)
    assert Resize(8, 9).applied(image[0], "d").shape == (8, 9)


@pytest.mark.parametrize(
    "item", [np.zeros(5), np.zeros((3, 3, 3)), np.zeros((9, 9, 9)), np.array([["a"]])]
)
def test_what_is_no_image_is_refused(item: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"--resize on d\.npz: found an item of shape"):
        Resize(2, 2).applied(item, "d.npz")


def test_sizes() -> None:
    assert resize_of(None) is None
    assert resize_of("32") == Resize(32, 32)
    assert resize_of("32x48") == Resize(32, 48)
    for words in ("", "0", "32x", "-1", "3.5", "99999", "1x2x3", "big"):
        with pytest.raises(InputError, match="--resize"):
            resize_of(words)


def test_a_folder_of_any_sizes_is_audited_and_records_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("ant", "bee"):
            (tmp_path / "d" / part / name).mkdir(parents=True)
            for at in range(4):
                grey = rng.integers(0, 256, (9 + at, 11)).astype(np.uint8)
                Image.fromarray(grey).save(tmp_path / "d" / part / name / f"{at}.png")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 2))
    exported = torch.export.export(module, (torch.zeros(3, 4, 5),))
    torch.export.save(exported, tmp_path / "m.pt2")
    words = ["concentrate", str(tmp_path / "m.pt2"), str(tmp_path / "d"), "--json"]
    words += ["--permutations", "0", "--beta2-budget", "0"]
    unequal = runner.invoke(app, words)
    assert unequal.exit_code == 2
    assert "images with --resize" in unequal.stderr
    done = runner.invoke(app, [*words, "--resize", "4x5"])
    assert done.exit_code == 0, done.stderr
    inputs = json.loads(done.stdout)["inputs"]
    assert inputs["resize"] == {"height": 4, "width": 5}
    assert inputs["preprocessing"][0] == "images resized to 4 × 5 (bilinear, antialiased)"
    assert "unsigned bytes divided by 255" in inputs["preprocessing"]
