"""`gencheck train`, and what the other commands make of its folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from gencheck.audit.model import load_model
from gencheck.cli.app import app
from gencheck.load.checkpoint import load_checkpoint
from gencheck.report.schema import schema_text
from tests.conftest import printed
from tests.training.data import blobs

runner = CliRunner()
RISKS = ("--beta2-budget", "0", "--permutations", "0", "--top", "0")


def written(folder: Path) -> Path:
    arrays = {}
    for name, count, seed in (("train", 90, 0), ("test", 60, 1)):
        items, targets = blobs(count, seed, (6, 6))
        arrays |= {f"x_{name}": items.numpy(), f"y_{name}": targets.argmax(1).numpy()}
    np.savez(folder / "d.npz", **arrays)
    return folder / "d.npz"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    invoked("train", *options(written(folder), "--two-phase"))
    return folder


@pytest.fixture
def trained(tmp_path: Path, trained_once: Path) -> Path:
    """Data beside which a two-phase network has been trained on them, in the folder `run`."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "d.npz"


def invoked(command: str, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = runner.invoke(app, [command, *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    doc: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(doc, json.loads(schema_text(command)))
    return doc


def refused(*arguments: str | Path, code: int = 2) -> str:
    result = runner.invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


def options(data: Path, *more: str | Path) -> list[str | Path]:
    return [
        "--data",
        data,
        "--arch",
        "mlp:8,8",
        "--out",
        data.parent / "run",
        "--epochs",
        "3",
        *more,
    ]


def test_plain(data: Path) -> None:
    doc = invoked("train", *options(data))
    assert doc["freeze"] is None
    assert doc["files"] == ["model.pt2", "model.safetensors"]
    assert len(doc["standard"]["losses"]) == 3
    assert doc["standard"]["losses"][-1] < doc["standard"]["losses"][0]
    audit = invoked("concentrate", data.parent / "run" / "model.pt2", data)
    assert audit["gap"]["sample_risk"] == pytest.approx(doc["standard"]["train"]["risk"], rel=1e-5)
    assert audit["gap"]["reference_risk"] == pytest.approx(
        doc["standard"]["test"]["risk"], rel=1e-5
    )
    assert not audit["inputs"]["gates_independent"]


@pytest.mark.parametrize("arch", ["mlp:8,8", "lenet", "resnet20"])
def test_two_phase(data: Path, arch: str) -> None:
    folder = data.parent / "run"
    doc = invoked("train", *options(data, "--two-phase", "--alpha", "0.4", "--arch", arch))
    assert json.loads((folder / "run.json").read_text()) == doc
    names = ["gates.pt2", "gates.safetensors", "weights.pt2", "weights.safetensors", "split.npz"]
    assert doc["files"] == names
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, "run.json"])
    assert doc["standard"]["train"]["items"] == 36
    assert doc["freeze"]["train"]["items"] == 54
    # errors and risks are what is looked at here: no search for β2, no relabelling
    audit = invoked("concentrate", folder, data, *RISKS)
    # the audit's sample is the freeze phase's items under the two-phase network
    assert audit["data"]["sample"] == 54
    assert audit["inputs"]["gates_independent"]
    assert "gates saw none" in audit["inputs"]["preprocessing"][0]
    assert audit["gap"]["sample_risk"] == pytest.approx(doc["freeze"]["train"]["risk"], rel=1e-4)
    assert audit["gap"]["reference_risk"] == pytest.approx(doc["freeze"]["test"]["risk"], rel=1e-4)
    by_hand = invoked(
        "concentrate",
        folder / "weights.pt2",
        data,
        *("--gates", folder / "gates.pt2", *RISKS),
    )
    assert by_hand["gap"]["reference_risk"] == audit["gap"]["reference_risk"]
    assert by_hand["data"]["sample"] == 90
    own = invoked("concentrate", folder / "weights.pt2", data, *RISKS)
    assert own["gap"]["reference_risk"] != audit["gap"]["reference_risk"]


def test_both_kinds_of_checkpoint_hold_the_same(trained: Path) -> None:
    folder = trained.parent / "run"
    items = torch.randn(5, 6, 6)
    for name in ("gates", "weights"):
        state = load_checkpoint(folder / f"{name}.safetensors")
        assert not isinstance(state, dict)
        one = load_model(folder / f"{name}.pt2", None, [(6, 6)]).own_output(items)
        two = load_model(folder / f"{name}.safetensors", "tests.cli.test_train:mlp", [(6, 6)])
        torch.testing.assert_close(one, two.own_output(items))


def mlp() -> torch.nn.Module:
    """The architecture of the tests here, as a factory."""
    from gencheck.training.architectures import mlp as build

    return build((6, 6), [8, 8], 3)


def test_a_factory_of_the_users_own(data: Path) -> None:
    doc = invoked("train", *options(data, "--arch", "tests.cli.test_train:mlp", "--two-phase"))
    assert doc["model"]["input_shape"] == [6, 6]


@pytest.mark.parametrize("extra", [(), ("--centred",), ("--landmarks", "20"), ("--ridge", "0.01")])
def test_ridge(data: Path, extra: tuple[str, ...]) -> None:
    folder = data.parent / "run"
    two_phase = ("--two-phase", "--alpha", "0.3", "--solver", "ridge")
    doc = invoked("train", *options(data, *two_phase, *extra))
    ridge = doc["ridge"]
    assert sum(ridge["gap"]["terms"]) == pytest.approx(ridge["gap"]["gap"], abs=1e-9)
    assert ridge["landmarks"] == (20 if "--landmarks" in extra else 63)
    assert (ridge["gap"]["bound"] is None) == ("--landmarks" in extra)
    if ridge["gap"]["bound"] is not None:
        assert ridge["gap"]["gap"] <= ridge["gap"]["bound"]["value"]
    if "--ridge" in extra:
        assert ridge["penalty_share"] == pytest.approx(0.01)
    message = refused("concentrate", folder, data)
    assert "A ridge solution has path weights only" in message


def test_held_out_items_are_the_reference(data: Path) -> None:
    folder = data.parent / "run"
    arrays = dict(np.load(data))
    np.savez(data, x=arrays["x_train"], y=arrays["y_train"])
    doc = invoked(
        "train",
        *options(data, "--holdout", "0.2", "--limit", "50", "--two-phase", "--alpha", "0.2"),
    )
    assert doc["data"] == {"train": 50, "test": 18, "preprocessing": ["float32 converted"]} | {
        "preprocessing": doc["data"]["preprocessing"]
    }
    audit = invoked("concentrate", folder, data)
    assert audit["data"]["sample"] == 40
    assert audit["data"]["reference"] == 18
    assert audit["gap"]["reference_risk"] == pytest.approx(doc["freeze"]["test"]["risk"], rel=1e-5)


def test_gate_and_darc1(data: Path) -> None:
    doc = invoked("train", *options(data, "--darc1", "0.01", "--max-test-error", "0.0"), code=1)
    assert not doc["gate"]["passed"]
    assert doc["inputs"]["darc1"] == 0.01
    plain = invoked("train", *options(data, "--max-test-error", "1.0", "--overwrite"))
    assert plain["gate"]["passed"]
    assert plain["standard"]["losses"] != doc["standard"]["losses"]


def test_repeated_runs_are_identical(data: Path) -> None:
    docs = [invoked("train", *options(data, "--two-phase")) for _ in range(2)]
    for doc in docs:
        del doc["timing"]
    assert docs[0] == docs[1]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--arch", "vgg"), "required: mlp:WIDTH"),
        (("--arch", "mlp:8,x"), "widths above 0"),
        (("--arch", "tests.cli.test_train:nothing"), "--arch"),
        (("--arch", "json:dumps"), "--arch json:dumps"),
        (("--solver", "ridge"), "required: --two-phase"),
        (("--ridge", "1"), "--two-phase --solver ridge"),
        (("--centred", "--two-phase"), "--solver ridge"),
        (("--two-phase", "--alpha", "0"), "--alpha"),
        (("--two-phase", "--alpha", "1", "--solver", "ridge"), "items for the freeze phase"),
        (("--two-phase", "--solver", "ridge", "--ridge", "-1"), "above 0"),
        (("--learning-rate", "0"), "--learning-rate"),
        (("--learning-rate", "nan"), "--learning-rate"),
        (("--max-test-error", "nan"), "a finite number"),
        (("--device", "tpu"), "--device"),
        (("--freeze-epochs", "3"), "--two-phase"),
        (("--data", "absent.npz"), "absent.npz"),
    ],
)
def test_refusals(data: Path, extra: tuple[str, ...], message: str) -> None:
    assert message in refused("train", *options(data, *extra))


def test_the_same_command_again_and_another(data: Path) -> None:
    first = invoked("train", *options(data, "--two-phase"))
    assert invoked("train", *options(data, "--two-phase"))["digests"].keys() == set(first["files"])
    message = refused("train", *options(data, "--two-phase", "--weight-decay", "0.1"))
    assert "differs in training weight_decay (0.0, not 0.1)" in message
    assert "--overwrite" in message
    doc = invoked("train", *options(data, "--overwrite"))
    assert sorted(p.name for p in (data.parent / "run").iterdir()) == sorted(
        [*doc["files"], "run.json"]
    )


def test_labels_that_number_no_outputs(data: Path) -> None:
    arrays = dict(np.load(data))
    np.savez(data, **(arrays | {"y_train": arrays["y_train"] + 2**59}))
    message = refused("train", *options(data))
    assert f"found the label {2**59 + 2}" in message
    assert "Number the classes" in message


def test_unfit_data_and_folders(data: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=np.zeros((9, 4), np.float32), y=np.linspace(0, 1, 9))
    assert "whole-number label" in refused("train", *options(tmp_path / "r.npz"))
    np.savez(tmp_path / "t.npz", x=np.zeros((9, 4), np.float32), y=np.arange(9) % 2)
    assert "images of at least 4 x 4" in refused(
        "train", *options(tmp_path / "t.npz", "--arch", "lenet")
    )
    (tmp_path / "file").write_text("")
    message = refused("train", *options(data)[:4], "--out", tmp_path / "file" / "run")
    assert "--out" in message
    (tmp_path / "empty").mkdir()
    assert "without a sound run.json" in refused("concentrate", tmp_path / "empty", data)


def test_runs_and_other_options(trained: Path) -> None:
    folder = trained.parent / "run"
    gates = folder / "gates.pt2"
    assert "gates of its own" in refused("concentrate", folder, trained, "--gates", gates)
    assert "--from with --gates" in refused(
        "concentrate", folder / "weights.pt2", trained, "--gates", gates, "--from", "1"
    )
    state = folder / "gates.safetensors"
    assert "two .pt2 programs" in refused(
        "concentrate", folder / "weights.pt2", trained, "--gates", state
    )
    # other data: the gates may have seen them, so nothing is assumed
    other = trained.with_name("other.npz")
    arrays = dict(np.load(trained))
    np.savez(other, **(arrays | {"x_train": arrays["x_train"] * 2}))
    audit = invoked("concentrate", folder, other)
    assert audit["data"]["sample"] == 90
    assert not audit["inputs"]["gates_independent"]
    declared = invoked("concentrate", folder, other, "--gates-independent")
    assert declared["inputs"]["gates_independent"]
    # another reference may hold what trained the gates
    beside = invoked("concentrate", folder, trained, "--reference", other)
    assert not beside["inputs"]["gates_independent"]


def test_a_run_can_be_certified_on_its_own_data_only(trained: Path) -> None:
    folder = trained.parent / "run"
    certify = ("--certify", "--input-range", "-30", "30")
    doc = invoked("concentrate", folder, trained, *certify)
    assert doc["certified"]["bound"] is not None
    other = trained.with_name("other.npz")
    arrays = dict(np.load(trained))
    np.savez(other, **(arrays | {"x_train": arrays["x_train"] * 2}))
    message = refused("concentrate", folder, other, *certify)
    assert "gates that may have seen the sample" in message
    invoked("concentrate", folder, other, *certify, "--gates-independent")


def test_compare_refuses_two_phases_and_names_the_way_out(trained: Path) -> None:
    folder = trained.parent / "run"
    assert "Compare one of its checkpoints" in refused("compare", folder, trained)


def test_gates_of_another_architecture_are_refused(data: Path) -> None:
    folder = data.parent / "run"
    invoked("train", *options(data, "--two-phase"))
    weights = (folder / "weights.pt2").read_bytes()
    invoked("train", *options(data, "--two-phase", "--arch", "mlp:9,8", "--overwrite"))
    (data.parent / "w.pt2").write_bytes(weights)
    message = refused("concentrate", data.parent / "w.pt2", data, "--gates", folder / "gates.pt2")
    assert "the architecture of the weight network" in message


@pytest.mark.parametrize("solver", ["sgd", "ridge"])
def test_data_indep_measures_the_run(data: Path, solver: str) -> None:
    folder = data.parent / "run"
    doc = invoked("train", *options(data, "--two-phase", "--solver", solver))
    found = invoked("data-indep", "--checkpoint", folder, "--data", data)
    assert found["measured"]["m_sigma"] == 81
    assert found["measured"]["error"] == pytest.approx(doc["freeze"]["train"]["error"])
    assert found["certified"]["name"] == "maurer"
    assert found["bound"]["risk"] == found["bounds"][0]["risk"]
    gated = invoked(
        "data-indep", "--checkpoint", folder, "--data", data, "--max-risk", "0.5", code=1
    )
    assert gated["gate"]["checks"][0]["value"] == found["certified"]["risk"]


def test_data_indep_refusals(data: Path) -> None:
    folder = data.parent / "run"
    assert "--data: found nothing" in refused("data-indep", "--checkpoint", folder)
    assert "--checkpoint: found nothing" in refused("data-indep", "--data", data)
    message = refused("data-indep", "--checkpoint", folder, "--data", data, "--rho", "1")
    assert "--rho: found it beside --checkpoint" in message
    message = refused("data-indep", "--checkpoint", folder, "--data", data)
    assert "without a sound run.json" in message


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_report_fits(data: Path, columns: str) -> None:
    extra = ("--two-phase", "--solver", "ridge")
    run = printed(columns, "train", *options(data, *extra))
    assert run.exit_code == 0, run.output
    assert max(map(len, run.stdout.splitlines())) <= int(columns)
    assert "freeze" in run.stdout
    measured = printed(columns, "data-indep", "--checkpoint", data.parent / "run", "--data", data)
    assert measured.exit_code == 0, measured.output
    assert max(map(len, measured.stdout.splitlines())) <= int(columns)
    assert "maurer" in measured.stdout


@pytest.mark.slow
def test_mnist_two_phase_keeps_the_accuracy(mnist: Path, tmp_path: Path) -> None:
    """With α = 0.1 at least 0.97 of the accuracy of standard training, by either solver."""
    arch = ("--data", mnist, "--arch", "mlp:128,128", "--epochs", "8", "--limit", "6000")
    base = invoked("train", *arch, "--out", tmp_path / "base")["standard"]["test"]["error"]
    for solver in ("sgd", "ridge"):
        two_phase = (
            "--two-phase",
            "--alpha",
            "0.1",
            "--solver",
            solver,
            "--out",
            tmp_path / solver,
        )
        more = ("--landmarks", "600") if solver == "ridge" else ()
        doc = invoked("train", *arch, *two_phase, *more)
        assert 1 - doc["freeze"]["test"]["error"] >= 0.97 * (1 - base)
