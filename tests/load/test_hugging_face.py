"""Folders that transformers writes, built by classes of that package and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gencheck.audit.model import load_model
from gencheck.cli.app import app
from gencheck.errors import InputError, MissingDependency

transformers = pytest.importorskip("transformers")

# importing transformers alone takes seconds
pytestmark = pytest.mark.slow

IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
TEXTS = torch.arange(12).reshape(2, 6) % 9


def resnet() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        num_channels=3, embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], num_labels=3
    )
    return transformers.ResNetForImageClassification(config).eval()


def bert() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=9,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=5,
        max_position_embeddings=8,
    )
    return transformers.BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resnet")
    resnet().save_pretrained(path)
    return path


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the folder with keys of its configuration changed."""

    def change(**keys: Any) -> Path:
        shutil.copytree(folder, tmp_path / "m")
        config = json.loads((folder / "config.json").read_text())
        (tmp_path / "m" / "config.json").write_text(json.dumps(config | keys))
        return tmp_path / "m"

    return change


def test_the_architecture_is_built_from_the_configuration(folder: Path) -> None:
    subject = load_model(folder, None, [(3, 32, 32)])
    expected = resnet()(IMAGES).logits.detach()
    torch.testing.assert_close(subject.own_output(IMAGES), expected)
    assert subject.parameters == sum(p.numel() for p in resnet().parameters())
    assert (
        subject.notes[0]
        == "built as ResNetForImageClassification of transformers, from config.json"
    )


def test_shards(tmp_path: Path) -> None:
    resnet().save_pretrained(tmp_path, max_shard_size="3KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    subject = load_model(tmp_path, None, [(3, 32, 32)])
    torch.testing.assert_close(subject.own_output(IMAGES), resnet()(IMAGES).logits.detach())


def test_a_text_classifier_by_its_tail(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path)
    subject = load_model(tmp_path, None, [(6,)], from_layer="classifier")
    assert subject.whole_numbers
    assert subject.head is not None
    logits = subject.own_output(subject.head(TEXTS, torch.float32))
    torch.testing.assert_close(logits, bert()(TEXTS).logits.detach())


def test_double_precision_is_kept(tmp_path: Path) -> None:
    module = resnet().double()
    module.save_pretrained(tmp_path)
    subject = load_model(tmp_path, None, [(3, 32, 32)])
    weights = [n.weight for n in subject.network.nodes if hasattr(n, "weight")]
    assert {w.dtype for w in weights} == {torch.float64}


def test_several_outputs_are_named(changed: Callable[..., Path]) -> None:
    path = changed(output_hidden_states=True)
    with pytest.raises(
        InputError, match=r"outputs: logits, hidden_states\.0.*--output-name logits"
    ):
        load_model(path, None, [(3, 32, 32)])
    subject = load_model(path, None, [(3, 32, 32)], output="logits")
    torch.testing.assert_close(subject.own_output(IMAGES), resnet()(IMAGES).logits.detach())


@pytest.mark.parametrize(
    "named", [["os.system"], ["AutoModel"], ["NoSuchModel"], ["pipeline"], [], None, 3, ["A", "B"]]
)
def test_classes_of_that_package_only(named: Any, changed: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="one model class of transformers"):
        load_model(changed(architectures=named), None, [(3, 32, 32)])


def test_code_in_the_folder_is_not_run(changed: Callable[..., Path], tmp_path: Path) -> None:
    path = changed(
        architectures=["Mine"],
        auto_map={"AutoModelForImageClassification": "mine.Mine", "AutoConfig": "mine.Config"},
    )
    trap = tmp_path / "sprung"
    (path / "mine.py").write_text(f"open({str(trap)!r}, 'w')")
    with pytest.raises(InputError, match="code beside the weights is not run"):
        load_model(path, None, [(3, 32, 32)])
    named = json.loads((path / "config.json").read_text())
    named["architectures"] = ["ResNetForImageClassification"]
    (path / "config.json").write_text(json.dumps(named))
    load_model(path, None, [(3, 32, 32)])
    assert not trap.exists()


def test_what_lies_elsewhere_is_refused(changed: Callable[..., Path]) -> None:
    path = changed(quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(InputError, match="found quantization_config"):
        load_model(path, None, [(3, 32, 32)])
    (path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="an adapter"):
        load_model(path, None, [(3, 32, 32)])


def test_weights_that_are_missing_are_not_drawn_at_random(changed: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    path = changed()
    state = load_file(path / "model.safetensors")
    del state["classifier.1.bias"]
    save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 missing weights: classifier\.1\.bias"):
        load_model(path, None, [(3, 32, 32)])


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", '{"hidden_sizes": "x"}'])
def test_damaged_configurations(text: str, changed: Callable[..., Path]) -> None:
    path = changed()
    if text.startswith("{"):
        config = json.loads((path / "config.json").read_text()) | json.loads(text)
        text = json.dumps(config)
    (path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"/m"):
        load_model(path, None, [(3, 32, 32)])


def test_damaged_or_absent_weights(changed: Callable[..., Path]) -> None:
    path = changed()
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(path, None, [(3, 32, 32)])
    weights.unlink()
    (path / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match="save_pretrained"):
        load_model(path, None, [(3, 32, 32)])


def test_a_factory_needs_no_transformers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    factory = "tests.load.test_hugging_face:logits_alone"
    subject = load_model(folder, factory, [(3, 32, 32)])
    torch.testing.assert_close(subject.own_output(IMAGES), resnet()(IMAGES).logits.detach())
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingDependency, match="transformers"):
        load_model(folder, None, [(3, 32, 32)])


def logits_alone() -> nn.Module:
    return resnet()


def test_at_the_command_line(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(12, 3, 32, 32)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=items, y=np.arange(12) % 3)
    arguments = ["concentrate", folder, tmp_path / "d.npz", "--holdout", "0.5", "--json"]
    fast = ["--permutations", "0", "--beta2-budget", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, arguments), *fast])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert "ResNetForImageClassification" in document["inputs"]["assumptions"][0]
    assert not document["inputs"]["gates_independent"]


def test_a_text_classifier_whole(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "m")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.integers(0, 9, (12, 6)), y=np.arange(12) % 2)
    arguments = ["concentrate", tmp_path / "m", tmp_path / "d.npz", "--holdout", "0.5", "--json"]
    fast = ["--permutations", "0", "--beta2-budget", "0", "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, arguments), *fast])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"]["outputs"] == 2
