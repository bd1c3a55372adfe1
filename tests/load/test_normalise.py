"""Items as they were in training: less a mean, over a deviation, channel by channel."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.errors import InputError
from gencheck.load.normalise import normalisation

runner = CliRunner()


def test_every_channel_has_its_own() -> None:
    found = normalisation(("1,2,3", "2,4,8"))
    assert found is not None
    items = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 2, 2)
    made = found.applied(items, "d.npz")
    for channel in range(3):
        expected = (items[:, channel] - (1 + channel)) / 2 ** (1 + channel)
        np.testing.assert_array_equal(made[:, channel], expected)
    assert made.dtype == np.float32


def test_one_is_for_all() -> None:
    found = normalisation(("0.5", "0.25"))
    assert found is not None
    items = np.array([[0.5, 1.0]])
    np.testing.assert_array_equal(found.applied(items, "d.npz"), [[0.0, 2.0]])
    assert found.words == "normalised: less 0.5, over 0.25"
    assert normalisation(None) is None


@pytest.mark.parametrize(
    "words", [("a", "1"), ("1,2", "1"), ("1", "0"), ("1", "-1"), ("nan", "1"), ("", "")]
)
def test_what_is_no_normalisation_is_refused(words: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="--normalise: found"):
        normalisation(words)


def test_another_number_of_channels_is_refused() -> None:
    found = normalisation(("1,2", "1,1"))
    assert found is not None
    for items in (np.ones((2, 3, 4, 4)), np.ones((2, 5)), np.ones((2, 2, 3), dtype=np.int64)):
        with pytest.raises(InputError, match=r"--normalise on d\.npz: found 2 means"):
            found.applied(items, "d.npz")


def test_the_command_is_that_on_normalised_data_and_records_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    draw = np.random.default_rng(0)
    x = {name: draw.random((20, 3), np.float32) for name in ("x_train", "x_test")}
    y = {name: np.arange(20) % 2 for name in ("y_train", "y_test")}
    np.savez(tmp_path / "raw.npz", **x, **y)
    np.savez(tmp_path / "done.npz", **{k: (v - np.float32(0.5)) / 2 for k, v in x.items()}, **y)

    def audited(data: str, *more: str) -> dict[str, object]:
        words = ["concentrate", str(tmp_path / "m.pt"), str(tmp_path / data), "--json", *more]
        run = runner.invoke(app, [*words, "--permutations", "0", "--beta2-budget", "0"])
        assert run.exit_code == 0, run.stderr
        found: dict[str, object] = json.loads(run.stdout)
        return found

    by_option = audited("raw.npz", "--normalise", "0.5", "2")
    assert by_option["beta1"] == audited("done.npz")["beta1"]
    inputs = by_option["inputs"]
    assert isinstance(inputs, dict)
    assert inputs["normalise"] == {"mean": [0.5], "std": [2.0]}
    assert "normalised: less 0.5, over 2" in inputs["preprocessing"]
