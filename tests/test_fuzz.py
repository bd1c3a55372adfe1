"""Two thousand damaged files and senseless options: a message and an exit code, nothing else."""

import gzip
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.load.digest import sha256_of
from tests.training.data import seal

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
    rows = zip(x.tolist(), y.tolist(), strict=True)
    objects = [json.dumps({"x": row, "label": label}) for row, label in rows]
    (folder / "d.jsonl").write_text("\n".join(objects))
    head = bytes([0, 0, 8, 3]) + np.array([12, 2, 2], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(head + bytes(range(48)))
    labels = bytes([0, 0, 8, 1]) + np.array([12], ">u4").tobytes()
    (folder / "train-labels-idx1-ubyte").write_bytes(labels + bytes(y.astype(np.uint8)))
    sound_folders(folder, dense)
    return folder


def sound_folders(folder: Path, dense: nn.Module) -> None:
    """A two-phase run, class folders of images, and a checkpoint in shards."""
    run, shards, pictures = folder / "run", folder / "shards", folder / "pictures"
    for made in (run, shards, pictures):
        made.mkdir()
    for name in ("gates", "weights"):
        (run / f"{name}.pt2").write_bytes((folder / "dense.pt2").read_bytes())
    np.savez(run / "split.npz", standard=np.arange(6), freeze=np.arange(6, 12), held_out=[2, 3])
    record = {
        "schema": "gencheck.train/1",
        "inputs": {"data": {"sha256": sha256_of(folder / "d.npz")}},
    }
    seal(run, record)
    save_file(dict(dense.state_dict()), shards / "one.safetensors")
    names = dict.fromkeys(dense.state_dict(), "one.safetensors")
    (shards / "m.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    for number in range(12):
        place = pictures / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2), number).save(place)


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
            ("dense.pt2", "d.jsonl"),
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


def altered_state(raw: bytes, dice: random.Random) -> bytes:
    """A state dict with odd types, layouts, shapes, names and wrappings."""
    state = torch.load(io.BytesIO(raw), weights_only=True)
    changes: list[Callable[[torch.Tensor], object]] = [
        lambda t: t.to_sparse(),
        lambda t: t.to(torch.float8_e4m3fn),
        lambda t: t.to(torch.complex64),
        lambda t: t.to(torch.int64),
        lambda t: t.bfloat16(),
        lambda t: t.bool(),
        lambda t: t.to("meta"),
        lambda t: t.double(),
        lambda t: t[:0],
        lambda t: t[:1].expand(10**9, *t.shape[1:]),
        lambda t: t.unsqueeze(0),
        lambda t: t * float(dice.choice(["nan", "inf", "1e38", "0"])),
        lambda t: {"a": t},
        lambda t: [t],
    ]
    for key in dice.sample(list(state), dice.choice([0, 1, 2])):
        state[key] = dice.choice(changes)(state[key])
    ends = ["_g", "_v", "_orig", "_mask", "_u", ".0", ""]
    if dice.random() < 0.3:
        state = {f"{k}{dice.choice(ends)}": v for k, v in state.items()}
    wrapped: object = state
    if dice.random() < 0.4:
        wrapped = {"epoch": 1, dice.choice(["net", "ema", "state_dict"]): state, "best": state}
    buffer = io.BytesIO()
    torch.save(dice.choice([wrapped, wrapped, list(state.values()), state | {3: 4}]), buffer)
    return buffer.getvalue()


def altered_folder(source: Path, target: Path, dice: random.Random) -> None:
    """A copy of a folder in which one thing is damaged, missing, or no file any more."""
    shutil.copytree(source, target)
    victim = dice.choice(sorted(p for p in target.rglob("*") if p.is_file()))
    raw = victim.read_bytes()
    kind = dice.randrange(8)
    if kind < 3:
        victim.write_bytes(damaged(raw, dice))
    elif kind == 3 and victim.suffix == ".json":
        depth = dice.choice([1, 500, 100_000])
        victim.write_bytes(dice.choice([b"[", b'{"weight_map":']) * depth)
    elif kind == 4 and victim.suffix == ".json":
        document = altered_json(json.loads(raw), dice)
        victim.write_text(
            json.dumps(document).replace("one.safe", dice.choice(["s" * 5000, "../"]))
        )
    elif kind < 7:
        victim.unlink()
        makers: list[Callable[[Path], object]] = [
            lambda p: p.mkdir(),
            lambda p: os.mkfifo(p),
            lambda p: p.symlink_to(p.parent / "nowhere"),
            lambda p: p.name,
        ]
        dice.choice(makers)(victim)
    if dice.random() < 0.2:
        os.mkfifo(target / "odd.png")


def folder_case(files: Path, folder: Path, dice: random.Random) -> list[str]:
    """A run, a checkpoint in shards or class folders of images, with something wrong in it."""
    kind = dice.choice(["run", "shards", "pictures", "state", "idx"])
    data = files / "d.npz"
    if kind == "state":
        path = folder / dice.choice(["m.pt", "m.pth", "m.ckpt"])
        path.write_bytes(altered_state((files / "dense.pt").read_bytes(), dice))
        return [str(path), str(data), *dice.choice([[], ["--key", "best"], ["--key", "x"]])]
    if kind == "idx":
        return idx_case(files, folder, dice)
    altered_folder(files / kind, folder / kind, dice)
    if kind == "run" and dice.random() < 0.5:
        # a record that was made to fit the damage
        with suppress(OSError, ValueError, TypeError, RecursionError):
            seal(folder / kind, json.loads((folder / kind / "run.json").read_text()))
    if kind == "pictures":
        return [str(files / "conv.pt2"), str(folder / kind)]
    if kind == "shards":
        return [str(folder / kind / "m.safetensors.index.json"), str(data)]
    return [str(folder / kind), str(data)]


def idx_case(files: Path, folder: Path, dice: random.Random) -> list[str]:
    """An IDX file, gzipped or not, whose header says something else."""
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        raw = bytearray((files / name).read_bytes())
        if dice.random() < 0.8:
            raw[dice.randrange(16 if "images" in name else 8)] = dice.choice([0, 1, 65, 127, 255])
        zipped = dice.random() < 0.5
        content = gzip.compress(bytes(raw)) if zipped else bytes(raw)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(content)
    images = next(folder.glob("train-images*"))
    return [str(files / "conv.pt2"), str(dice.choice([images, folder]))]


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
        made = folder_case if dice.random() < 0.4 else pair_of_files
        taken = made(files, folder, dice)
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
