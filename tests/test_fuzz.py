"""Two thousand damaged files and senseless options: a message and an exit code, nothing else."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app

runner = CliRunner()

CASES = 2000
_SHARDS = 20

NUMBERS = [
    "0",
    "-1",
    "1",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e-400",
    "",
    "x",
    "0x10",
    "1e9",
    "9" * 30,
]
WORDS = [
    "",
    " ",
    "nothing",
    "a:b",
    "../..",
    "/",
    "\u00e9\u4e2d",
    "--",
    "cuda:99",
    "-",
    "1GiB",
    "0B",
]
WITH_NUMBERS = {
    "val-bound": [
        *("--m-val", "--n-models", "--log-n-models", "--delta", "--val-error", "--c", "--gamma2"),
        *("--adaptive-rounds", "--scores-per-round", "--max-risk", "--target"),
    ],
    "data-indep": [
        *("--margin-loss", "--rho", "--m-sigma", "--m", "--alpha", "--d-y", "--c-sigma", "--c-w"),
        *("--delta", "--max-risk"),
    ],
    "concentrate": [
        *("--holdout", "--limit", "--seed", "--batch-size", "--tile", "--beta2-budget"),
        *("--max-beta1", "--max-beta2", "--max-bound"),
    ],
}
WITH_WORDS = {
    "val-bound": ["--loss", "--solve", "--losses"],
    "data-indep": [],
    "concentrate": [
        *("--from", "--reference", "--x-key", "--y-key", "--task", "--device", "--dtype"),
        *("--memory", "--executor", "--model", "--transform"),
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files of every kind, as small as they get."""
    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    conv = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))
    for name, module, shape in (("dense", dense, (4,)), ("conv", conv, (1, 2, 2))):
        program = torch.export.export(module, (torch.randn(3, *shape),))
        torch.export.save(program, folder / f"{name}.pt2")
    torch.save(dense.state_dict(), folder / "dense.pt")
    x, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 2
    np.savez(folder / "d.npz", x=x.astype(np.float32), y=y)
    lines = [",".join(map(str, [*row, label])) for row, label in zip(x, y, strict=True)]
    (folder / "d.csv").write_text("a,b,c,d,label\n" + "\n".join(lines))
    head = bytes([0, 0, 8, 3]) + np.array([12, 2, 2], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(head + bytes(range(48)))
    labels = bytes([0, 0, 8, 1]) + np.array([12], ">u4").tobytes()
    (folder / "train-labels-idx1-ubyte").write_bytes(labels + bytes(y.astype(np.uint8)))
    return folder


def damaged(raw: bytes, dice: random.Random) -> bytes:
    """Flipped, cut, doubled or inserted bytes."""
    data = bytearray(raw)
    for _ in range(dice.choice([1, 1, 2, 10])):
        at = dice.randrange(max(len(data), 1))
        kind = dice.randrange(4)
        if kind == 0 and data:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = dice.randbytes(dice.choice([1, 4, 100]))
        else:
            data[at:at] = data[at : at + dice.randrange(200)]
    return bytes(data)


def altered_json(value: object, dice: random.Random) -> object:
    """The document with one value somewhere replaced, or one key lost."""
    strange = [None, 0, -1, 2**70, "x", [], {}, True, 1.5]
    if isinstance(value, dict) and value:
        key = dice.choice(list(value))
        if dice.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: altered_json(value[key], dice)}
    if isinstance(value, list) and value:
        at = dice.randrange(len(value))
        return [*value[:at], altered_json(value[at], dice), *value[at + 1 :]]
    return dice.choice(strange)


def altered_program(raw: bytes, dice: random.Random) -> bytes:
    """A program whose graph says something else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".json"):
                document = json.loads(content)
                for _ in range(dice.choice([1, 1, 3])):
                    document = altered_json(document, dice)
                content = json.dumps(document).encode()
            target.writestr(name, content)
    return buffer.getvalue()


def pair_of_files(files: Path, folder: Path, dice: random.Random) -> list[str]:
    """A checkpoint and a data file, one of them or both damaged."""
    model, data = dice.choice(
        [
            ("dense.pt2", "d.npz"),
            ("dense.pt2", "d.csv"),
            ("dense.pt", "d.npz"),
            ("conv.pt2", "train-images-idx3-ubyte"),
        ]
    )
    harm_model, harm_data = dice.choice(
        [(True, False), (False, True), (True, True), (False, False)]
    )
    for name, harm in ((model, harm_model), (data, harm_data)):
        raw = (files / name).read_bytes()
        if harm and name.endswith(".pt2") and dice.random() < 0.7:
            raw = altered_program(raw, dice)
        elif harm:
            raw = damaged(raw, dice)
        (folder / name).write_bytes(raw)
    labels = "train-labels-idx1-ubyte"
    (folder / labels).write_bytes((files / labels).read_bytes())
    return [str(folder / model), str(folder / data)]


def options(command: str, dice: random.Random, most: int) -> list[str]:
    chosen: list[str] = []
    for _ in range(dice.randrange(most + 1)):
        name = dice.choice([*WITH_NUMBERS[command], *WITH_WORDS[command]])
        chosen += [name, dice.choice(NUMBERS if name in WITH_NUMBERS[command] else WORDS)]
    return chosen


def arguments(files: Path, folder: Path, dice: random.Random) -> list[str]:
    command = dice.choice(
        ["concentrate"] * 6 + ["val-bound"] * 4 + ["data-indep"] * 2 + ["explain"]
    )
    if command == "concentrate":
        taken = pair_of_files(files, folder, dice)
        plain = ["--holdout", "0.5", "--beta2-budget", "0", "--device", "cpu"]
        extra = options(command, dice, 3) if dice.random() < 0.4 else []
        return [command, *taken, *plain, *extra]
    if command == "explain":
        return [dice.choice(["explain", "schema"]), dice.choice(WORDS)]
    plain = ["--m-val", "100"] if command == "val-bound" else ["--m-sigma", "100", "--rho", "1"]
    return [command, *plain, *options(command, dice, 6)]


def outcome(call: Callable[[], list[str]], folder: Path) -> str:
    """What is wrong with how one case ended; nothing where it ended well."""
    output = folder / "out.json"
    taken = [*call(), "--output", str(output)]
    if taken[0] in {"explain", "schema"}:
        taken = taken[:-2]
    result = runner.invoke(app, taken)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{taken}: {result.exception!r}"
    if result.exit_code not in {0, 1, 2, 3, 4} or "Traceback" in result.output:
        return f"{taken}: exit {result.exit_code}: {result.output[-300:]}"
    if result.exit_code > 1 and not result.output.strip():
        return f"{taken}: exit {result.exit_code} without a word"
    if output.exists() and (result.exit_code > 1 or not json.loads(output.read_text())):
        return f"{taken}: an output file with exit {result.exit_code}"
    return ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shard", range(_SHARDS))
def test_every_case_ends_in_an_exit_code_and_a_message(
    shard: int, files: Path, tmp_path: Path
) -> None:
    wrong = []
    for number in range(CASES // _SHARDS):
        dice = random.Random(f"{shard}-{number}")
        folder = tmp_path / str(number)
        folder.mkdir()
        said = outcome(lambda dice=dice, folder=folder: arguments(files, folder, dice), folder)
        if said:
            wrong.append(f"{shard}-{number}: {said}")
    assert not wrong, "\n".join(wrong)
