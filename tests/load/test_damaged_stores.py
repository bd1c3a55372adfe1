"""Kept stores and logs with a part of them altered: an answer, or exit 2 and a message; never more."""

import json
import random
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gencheck.cli.app import app
from tests.load.test_studies import EPOCHS, MLFLOW, kept
from tests.test_fuzz import altered_json, damaged

LOGS = Path(__file__).parent / "logs"
CASES = 25
STORES: list[tuple[str, tuple[str, ...]]] = [
    ("optuna.db", ("--name", "last")),
    ("mlflow.db", MLFLOW),
    ("optuna.log", ("--name", "best")),
    ("trials.csv", ("--metric", "value", "--direction", "min")),
    ("mlruns", MLFLOW),
    ("ray", EPOCHS),
    ("keras/digits", ()),
    ("lightning", EPOCHS),
    ("hydra", EPOCHS),
    ("inspect/epochs.eval", ("--score-key", "match", "--cluster-key", "id")),
    ("inspect/graded.json", ("--score-key", "match")),
    ("harness/dummy", ("--score-key", "acc")),
]
runner = CliRunner()


def altered(path: Path, dice: random.Random) -> bytes:
    """The file with a value replaced, where it is JSON, or with bytes flipped, cut or inserted."""
    raw = path.read_bytes()
    if path.suffix in {".json", ".jsonl", ".log"} and dice.random() < 0.6:
        whole = path.suffix == ".json" and path.name != "result.json"
        lines = [raw] if whole else raw.splitlines()
        at = dice.randrange(len(lines))
        lines[at] = json.dumps(altered_json(json.loads(lines[at]), dice)).encode()
        return b"\n".join(lines)
    return damaged(raw, dice)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), STORES, ids=[name for name, _ in STORES])
def test_damage(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    is_log = (LOGS / name).exists()
    source = LOGS / name if is_log else kept(name, tmp_path)
    taken = ["--scores"] if is_log else ["--m-val", "100", "--study"]
    for number in range(CASES):
        dice = random.Random(f"{name}-{number}")
        target = tmp_path / str(number) / source.name
        target.parent.mkdir()
        if source.is_dir():
            shutil.copytree(source, target)
            files = sorted(file for file in target.rglob("*") if file.is_file())
        else:
            shutil.copy(source, target)
            files = [target]
        file = dice.choice(files)
        file.write_bytes(altered(file, dice))
        models = ["--n-models", "2"] if is_log else []
        result = runner.invoke(app, ["val-bound", *taken, str(target), *options, *models, "--json"])
        assert result.exit_code in {0, 2}, (number, file.name, result.stderr)
        if result.exit_code == 2:
            assert result.stderr.startswith("gencheck: "), (number, file.name)
            assert result.stdout == ""
