"""`gencheck concentrate` as users call it."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.cli.app import app
from gencheck.report.schema import schema_text
from tests.conftest import printed

NAMES = (
    *("beta1", "beta1_normalised", "beta2", "v_l2", "v_frobenius"),
    *("squared_gap", "zero_one_gap", "cross_entropy_gap", "label_means"),
    "feature_means",
)

runner = CliRunner()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each kind, exported once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(module.state_dict(), folder / "m.pt")
    program = torch.export.export(module, (torch.randn(5, 12),))
    torch.export.save(program, folder / "m.pt2")
    return folder


@pytest.fixture
def case(tmp_path: Path, checkpoints: Path) -> Path:
    """A folder with a checkpoint of each kind and a data file."""
    torch.manual_seed(0)
    shutil.copytree(checkpoints, tmp_path, dirs_exist_ok=True)
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "d.npz",
        x_train=random.integers(0, 256, (40, 4, 3), dtype=np.uint8),
        y_train=random.integers(0, 3, 40),
        x_test=random.integers(0, 256, (30, 4, 3), dtype=np.uint8),
        y_test=random.integers(0, 3, 30),
    )
    return tmp_path


def document(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, ["concentrate", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text("concentrate")))
    return doc


def refused(code: int, *arguments: str | Path) -> str:
    result = runner.invoke(app, ["concentrate", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


def test_document(case: Path) -> None:
    doc = document(case / "m.pt2", case / "d.npz")
    assert doc["schema"] == "gencheck.concentrate/1"
    assert doc["data"] == {"sample": 40, "reference": 30, "task": "classification"}
    assert doc["inputs"]["preprocessing"] == [
        "unsigned bytes divided by 255",
        "flattened in stored order: (4, 3) to (12,)",
    ]
    assert doc["model"]["operations"] == {"dense": 3, "relu": 2}
    assert doc["gap"]["gap"] <= doc["bound"]["tightest"]["value"] <= doc["bound"]["value"]
    assert set(doc["timing"]["seconds"]) == {
        *("load", "gates", "gram", "beta1", "beta2", "permutation", "direction")
    }


def test_checkpoints_of_both_kinds_agree(case: Path) -> None:
    one = document(case / "m.pt2", case / "d.npz", "--dtype", "float64")
    other = document(case / "m.pt", case / "d.npz", "--dtype", "float64")
    assert one["beta1"]["value"] == pytest.approx(other["beta1"]["value"], rel=1e-12)
    assert other["inputs"]["assumptions"] != one["inputs"]["assumptions"]


def test_repeated_runs_are_identical(case: Path) -> None:
    runs = [document(case / "m.pt2", case / "d.npz", "--limit", "20") for _ in range(2)]
    for doc in runs:
        del doc["timing"]
    assert runs[0] == runs[1]


def test_gates(case: Path) -> None:
    doc = document(case / "m.pt2", case / "d.npz", "--max-bound", "1e9", "--max-beta2", "10")
    assert doc["gate"]["passed"]
    assert [c["name"] for c in doc["gate"]["checks"]] == ["max-beta2", "max-bound"]
    failed = document(case / "m.pt2", case / "d.npz", "--max-beta1", "1e-9", code=1)
    assert not failed["gate"]["passed"]
    words = ["concentrate", str(case / "m.pt2"), str(case / "d.npz"), "--max-beta1", "1e-9"]
    lines = runner.invoke(app, words).stdout.splitlines()
    assert any(line.startswith("Gate FAILED: max-beta1 1e-09, value ") for line in lines)


def test_permutations(case: Path) -> None:
    arguments = (case / "m.pt2", case / "d.npz", "--permutations", "99")
    arguments += ("--beta2-permutation-budget", "10")
    doc = document(*arguments, "--min-p-value", "0.11", "--seed", "1")
    found = doc["permutation"]
    assert found["rounds"] == 99
    assert "may have been trained on the sample" in found["reading"]
    assert found["beta1"]["observed"] == pytest.approx(doc["beta1"]["value"], rel=1e-9)
    assert found["beta2"]["observed"] == pytest.approx(doc["beta2"]["value"], rel=1e-6)
    assert found["v_l2"]["observed"] == pytest.approx(max(doc["v_l2"]), rel=1e-9)
    assert found["v_frobenius"]["observed"] == pytest.approx(doc["v_frobenius"], rel=1e-9)
    for name in NAMES:
        assert 0.01 <= found[name]["p_value"] <= 1
        assert found[name]["null_median"] <= found[name]["null_95"]
    assert found["p_value"] == min(found[name]["adjusted_p_value"] or 1 for name in NAMES)
    asked = [
        found[name]["p_value"] for name in NAMES if found[name]["adjusted_p_value"] is not None
    ]
    assert found["holm_p_value"] == pytest.approx(min(1, len(asked) * min(asked)))
    assert found["p_value"] >= min(asked)
    (check,) = doc["gate"]["checks"]
    assert (check["name"], check["value"]) == ("min-p-value", found["p_value"])
    independent = document(*arguments, "--gates-independent", "--seed", "1")
    assert "saw neither set" in independent["permutation"]["reading"]
    assert independent["permutation"]["beta1"] == found["beta1"]
    text = runner.invoke(app, ["concentrate", *map(str, arguments)]).stdout
    assert text.startswith("No difference that chance does not make, as this model sees them")
    assert text.index("Is it noise? Yes") < text.index("What does theory say?")
    assert text.rstrip().split("\n\n")[-1].startswith("Verdict: ")


def test_two_hundred_relabellings_are_the_default_but_not_with_landmarks(case: Path) -> None:
    assert document(case / "m.pt2", case / "d.npz")["permutation"]["rounds"] == 200
    doc = document(case / "m.pt2", case / "d.npz", "--landmarks", "5")
    assert doc["permutation"] == {"rounds": 0}


def test_beta1_as_a_multiple_of_its_noise(case: Path) -> None:
    arguments = (case / "m.pt2", case / "d.npz", "--max-beta1-ratio")
    (check,) = document(*arguments, "100")["gate"]["checks"]
    doc = document(*arguments, "0.01", code=1)
    found = doc["permutation"]["beta1"]
    assert check["value"] == pytest.approx(found["observed"] / found["null_median"], rel=1e-12)
    assert not doc["gate"]["passed"]
    assert "--permutations 200" in refused(2, *arguments, "2", "--permutations", "0")


def test_a_sample_of_another_kind_fails_the_gate_on_p_values(case: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 40)
    np.savez(case / "dark.npz", x=0.1 * random.random((40, 4, 3)), y=labels)
    doc = document(
        *(case / "m.pt2", case / "dark.npz", "--reference", case / "d.npz"),
        *("--min-p-value", "0.05"),
        code=1,
    )
    assert not doc["gate"]["passed"]
    assert "beta1" in doc["permutation"]["differing"]
    # one-hot targets all have length 1: no relabelling changes β3, and it is no question
    assert doc["permutation"]["beta3"]["p_value"] == 1
    assert doc["permutation"]["beta3"]["adjusted_p_value"] is None


def test_beta2_has_no_p_value_where_paths_are_not_enumerated(case: Path) -> None:
    doc = document(case / "m.pt2", case / "d.npz", "--permutations", "30")
    assert doc["permutation"]["beta2"]["p_value"] is None
    assert doc["permutation"]["beta2"]["adjusted_p_value"] is None
    assert "--beta2-permutation-budget" in doc["permutation"]["beta2"]["reason"]


@pytest.mark.parametrize(
    ("limit", "rounds", "message"),
    [
        (
            "0.05",
            "0",
            "found 0.05 with --permutations 0, whose smallest p-value is 1",
        ),
        ("0.01", "99", "Pass --permutations 200"),
        ("nan", "99", "--min-p-value: found nan"),
        ("2", "99", "--min-p-value: found 2"),
    ],
)
def test_a_gate_on_p_values_that_could_not_fail(
    limit: str, rounds: str, message: str, case: Path
) -> None:
    arguments = ("absent.pt2", case / "d.npz", "--permutations", rounds, "--min-p-value", limit)
    assert message in " ".join(refused(2, *arguments).split())


def test_magnitudes_past_floats_are_given_as_logarithms(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(120):
        layer = nn.Linear(32, 32)
        nn.init.normal_(layer.weight, std=0.3)
        layers += [layer, nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(32, 2))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    x = np.random.default_rng(0).random((20, 32))
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(20) % 2)
    options = ("--holdout", "0.5", "--dtype", "float64", "--output", tmp_path / "doc.json")
    text = printed("100", "concentrate", tmp_path / "m.pt", tmp_path / "d.npz", *options)
    assert text.exit_code == 0, text.output
    doc = json.loads((tmp_path / "doc.json").read_text())
    jsonschema.validate(doc, json.loads(schema_text("concentrate")))
    assert doc["model"]["log10_paths"] == pytest.approx(121 * np.log10(32), rel=1e-3)
    norms = doc["path_norms"]
    if norms["l1"] is None:
        assert norms["log10"]["l1"] > 308
        assert "log10" in norms["reason"]
    assert doc["bound"]["value"] is None or doc["bound"]["value"] > 1e100
    assert "(vacuous)" in text.stdout


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_report_fits(case: Path, columns: str) -> None:
    run = printed(columns, "concentrate", case / "m.pt2", case / "d.npz")
    assert run.exit_code == 0, run.output
    assert max(len(line) for line in run.stdout.splitlines()) <= int(columns)
    order = [run.stdout.index(part) for part in ("β1", "β2", "β3", "|gap|", "Verdict")]
    assert order == sorted(order)
    assert "\x1b[" not in run.stdout


def test_the_long_form_explains_every_word(case: Path) -> None:
    plain = runner.invoke(app, ["concentrate", str(case / "m.pt2"), str(case / "d.npz")])
    long = runner.invoke(
        app, ["concentrate", str(case / "m.pt2"), str(case / "d.npz"), "--explain"]
    )
    assert plain.exit_code == long.exit_code == 0
    assert "What the words mean" not in plain.stdout
    head, _, words = long.stdout.partition("What the words mean")
    assert "Verdict" in head
    for word in ("β1", "β2", "β3", "share of β1", "gap and bound", "certified", "p"):
        assert any(line.startswith(word) or word in line for line in words.splitlines()), word
    assert max(map(len, long.stdout.splitlines())) <= 80


def test_regression(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    rows = np.random.default_rng(0).random((50, 3))
    lines = "\n".join(",".join(f"{v:.6f}" for v in row) for row in rows)
    (tmp_path / "d.csv").write_text(f"a,b,target\n{lines}\n")
    doc = document(tmp_path / "m.pt", tmp_path / "d.csv", "--holdout", "0.4")
    assert doc["data"] == {"sample": 30, "reference": 20, "task": "regression"}
    assert doc["gap"]["sample_error"] is None
    text = runner.invoke(
        app, ["concentrate", str(tmp_path / "m.pt"), str(tmp_path / "d.csv"), "--holdout", "0.4"]
    )
    assert "Verdict" in text.stdout


def test_unsupported_models_are_exit_3(tmp_path: Path, case: Path) -> None:
    module = nn.Sequential(nn.Linear(12, 4), nn.Softmax(1), nn.Softplus(), nn.Linear(4, 3))
    torch.export.save(torch.export.export(module, (torch.randn(5, 12),)), tmp_path / "s.pt2")
    message = refused(3, tmp_path / "s.pt2", case / "d.npz")
    assert "2 operations are outside the path view" in message
    assert "aten.softmax.int at 1" in message
    assert "aten.softplus.default at 2" in message


def test_the_self_check_is_exit_4(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gencheck.network.frontend.lowering as lowering

    # a defect on purpose: every ReLU is read as a tanh
    monkeypatch.setitem(
        lowering.BUILDERS, "aten.relu.default", lowering.BUILDERS["aten.tanh.default"]
    )
    assert "self-check: z·w differs" in refused(4, case / "m.pt2", case / "d.npz")


def test_solvers_that_do_not_converge_are_exit_4(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gencheck.audit.strategies as strategies
    from gencheck.spectral.beta1.lanczos import top_eigenvalue

    def impatient(*args: Any, **kwargs: Any) -> Any:
        return top_eigenvalue(*args, **kwargs, max_iterations=2)

    monkeypatch.setattr(strategies, "top_eigenvalue", impatient)
    assert "beta1: Lanczos stopped after 2" in refused(4, case / "m.pt2", case / "d.npz")


def test_memory_that_does_not_suffice(case: Path) -> None:
    message = refused(2, case / "m.pt2", case / "d.npz", "--memory", "1MB")
    assert "--memory: found 977 KiB" in message
    assert "Gram matrix" in message
    assert "found '4 apples'" in refused(2, case / "m.pt2", case / "d.npz", "--memory", "4 apples")


def test_memory_says_how_many_items_fit(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    np.savez(tmp_path / "d.npz", x=np.zeros((50_000, 2)), y=np.zeros(50_000, int))
    arguments = (tmp_path / "m.pt", tmp_path / "d.npz", "--holdout", "0.5", "--memory", "1GiB")
    message = refused(2, *arguments)
    fitting = int(message.split("--limit ")[1].split()[0])
    assert 1000 < fitting < 25_000
    doc = document(*arguments[:-2], "--memory", "1GiB", "--limit", "500")
    assert doc["data"]["sample"] == 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.pt2", "d.npz"), "absent.pt2: found no such file"),
        (("m.pt2", "absent.npz"), "absent.npz: found no such file"),
        (("m.pt2", "d.npz", "--device", "tpu"), "--device"),
        (("absent.pt2", "d.npz", "--max-beta1", "nan"), "--max-beta1: found nan"),
        (("m.pt2", "d.npz", "--device", "cuda:99"), "cuda:99"),
        (("m.pt2", "d.npz", "--x-key", "x_train"), "only one of --x-key and --y-key"),
        (("m.pt2", "d.npz", "--model", "a:b"), "brings its own graph"),
        (("m.pt2", "d.npz", "--reference", "d.npz", "--holdout", "0.5"), "one of them at most"),
    ],
)
def test_refusals(
    arguments: tuple[str, ...], message: str, case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    assert message in refused(2, *arguments)


def test_wrong_shape_nan_and_labels(case: Path) -> None:
    x, y = np.zeros((6, 12)), np.zeros(6, int)

    def message(x: np.ndarray, y: np.ndarray) -> str:
        np.savez(case / "bad.npz", x=x, y=y)
        return refused(2, case / "m.pt2", case / "bad.npz", "--holdout", "0.5")

    assert "required: items of the model's shape (12,)" in message(np.zeros((6, 7)), y)
    x[2, 3] = np.nan
    assert "bad.npz, 'x', index [2, 3]: found nan" in message(x, y)
    y[4] = 9
    assert "found label 9" in message(np.zeros((6, 12)), y)


def test_outputs_that_overflow(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    for layer in (module[0], module[2]):
        nn.init.constant_(layer.weight, 1e30)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    np.savez(tmp_path / "d.npz", x=np.ones((4, 2)), y=np.array([0, 1, 0, 1]))
    run = runner.invoke(
        app, ["concentrate", str(tmp_path / "m.pt"), str(tmp_path / "d.npz"), "--holdout", "0.5"]
    )
    assert run.exit_code in {2, 4}
    assert "float64" in run.stderr


@pytest.mark.slow
def test_mnist(mnist: Path, tmp_path: Path) -> None:
    """Real items through a trained network, in float32 against float64."""
    from gencheck.training.loop import Training, fit

    with np.load(mnist) as archive:
        x = torch.from_numpy(archive["x_train"][:3000].reshape(-1, 784) / 255).float()
        y = torch.eye(10)[torch.from_numpy(archive["y_train"][:3000]).long()]
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    fit(module, x, y, Training(epochs=2, batch_size=32), seed=0)
    torch.export.save(torch.export.export(module, (x[:2].clone(),)), tmp_path / "m.pt2")
    common = (tmp_path / "m.pt2", mnist, "--limit", "400")
    narrow, wide = document(*common), document(*common, "--dtype", "float64")
    assert narrow["beta1"]["value"] == pytest.approx(wide["beta1"]["value"], rel=1e-5)
    assert narrow["beta2"]["value"] == pytest.approx(wide["beta2"]["value"], rel=1e-5)
    assert narrow["v_l2"] == pytest.approx(wide["v_l2"], rel=1e-4)
    assert narrow["gap"]["sample_error"] < 0.2


def test_an_interrupt_is_exit_130_and_leaves_nothing(tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys
    import time

    module = nn.Sequential(nn.Linear(50, 64), nn.ReLU(), nn.Linear(64, 3))
    torch.save(module.state_dict(), tmp_path / "m.pt")
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((20_000, 50)), y=[0, 1] * 10_000)
    command = [sys.executable, "-m", "gencheck", "concentrate", "m.pt", "d.npz"]
    # small tiles: when the first is there, thousands and all relabellings are still to come
    process = subprocess.Popen(
        [*command, "--holdout", "0.5", "--output", "doc.json", "--tile", "128", "--cache", "cache"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell may have told its background jobs to ignore interrupts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not list(tmp_path.glob("cache/*.tile")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "d.npz", "m.pt"]
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".tile"}
