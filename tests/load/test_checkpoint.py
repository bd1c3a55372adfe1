"""Checkpoints: what is read, what is refused, and that nothing in a file runs."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from gencheck.audit.model import load_model
from gencheck.errors import GencheckError, InputError, MissingDependency, UnsupportedModel
from gencheck.load.checkpoint import StateDict, load_checkpoint
from tests.networks import ZOO, build

safetensors = pytest.importorskip("safetensors.torch")


class Bomb:
    """Pickles to a call that would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def exported(module: nn.Module, shape: tuple[int, ...], path: Path, dynamic: bool = True) -> Path:
    items = torch.randn(4, *shape, dtype=next(module.parameters()).dtype)
    dims = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(module, (items,), dynamic_shapes=dims), path)
    return path


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("name", ["linear", "skip", "pre_activation", "in_place_flatten"])
def test_exported_programs(name: str, dynamic: bool, tmp_path: Path) -> None:
    module, shape = build(name), ZOO[name][1]
    subject = load_model(exported(module, shape, tmp_path / "m.pt2", dynamic), None, [])
    # 7 items: not a multiple of the fixed batch of 4
    items = torch.randn(7, *shape, dtype=torch.float64)
    kept = items.clone()
    torch.testing.assert_close(subject.own_output(items), module(items).detach())
    assert torch.equal(items, kept)
    assert subject.network.input_shape == shape
    trace = load_state(name, tmp_path)
    assert subject.network.operations() == trace


def load_state(name: str, folder: Path) -> dict[str, int]:
    from gencheck.audit.model import model_of_module

    del folder
    return model_of_module(build(name), [ZOO[name][1]]).network.operations()


def test_decomposed_programs(tmp_path: Path) -> None:
    module = build("three_hidden_batchnorm")
    program = torch.export.export(module, (torch.randn(4, 3).double(),)).run_decompositions()
    torch.export.save(program, tmp_path / "m.pt2")
    subject = load_model(tmp_path / "m.pt2", None, [])
    items = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(subject.own_output(items), module(items).detach())


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_chain_of_linear_weights_needs_no_model(suffix: str, tmp_path: Path) -> None:
    module, path = chain(), tmp_path / f"m{suffix}"
    save = safetensors.save_file if suffix == ".safetensors" else torch.save
    save(module.state_dict(), path)
    subject = load_model(path, None, [])
    items = torch.randn(6, 4)
    torch.testing.assert_close(subject.own_output(items), module(items).detach())
    assert "ReLU between the layers is assumed" in subject.notes[0]


def test_numbered_layers_are_put_in_numerical_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(*[nn.Linear(4, 4) for _ in range(11)])
    safetensors.save_file(module.state_dict(), tmp_path / "m.safetensors")
    subject = load_model(tmp_path / "m.safetensors", None, [])
    items = torch.randn(6, 4)
    gated = nn.Sequential(*[m for layer in module for m in (layer, nn.ReLU())][:-1])
    torch.testing.assert_close(subject.own_output(items), gated(items).detach())


REFUSED_STATES = {
    "convolution": ({"c.weight": torch.ones(2, 1, 3, 3)}, "c.weight of shape"),
    "no chain": ({"a.weight": torch.ones(3, 4), "b.weight": torch.ones(2, 5)}, "after a.weight"),
    "lonely bias": ({"a.weight": torch.ones(3, 4), "b.bias": torch.ones(2)}, "without its weight"),
    "wrapped": ({"net": {"a.weight": torch.ones(2, 2), "n": 3}}, "key 'net'"),
    "not a dict": ([torch.ones(2)], "a list"),
    "empty": ({}, "nothing"),
}


@pytest.mark.parametrize("name", REFUSED_STATES)
def test_refused_states(name: str, tmp_path: Path) -> None:
    content, message = REFUSED_STATES[name]
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "m.pt", None, [(4,)])


def test_layers_without_numbers_have_no_order(tmp_path: Path) -> None:
    states = {"out.weight": torch.ones(4, 4), "mid.weight": torch.ones(4, 4)}
    safetensors.save_file(states, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="whose order the file does not say"):
        load_model(tmp_path / "m.safetensors", None, [])


@pytest.mark.parametrize("whole", [True, False])
def test_a_pickle_that_would_run_code_is_refused(whole: bool, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    content = Bomb(trap) if whole else {"a.weight": Bomb(trap)}
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(InputError, match="would have to run code"):
        load_checkpoint(tmp_path / "m.pt")
    assert not trap.exists()
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(trap)))
    with pytest.raises(InputError):
        load_checkpoint(tmp_path / "plain.pt")
    assert not trap.exists()


def rewritten(source: Path, target: Path, changes: dict[str, bytes]) -> Path:
    """A copy of an archive with some of its files replaced; names are matched by their end."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            for end, change in changes.items():
                content = change if name.endswith(end) else content
            new.writestr(name, content)
    return target


def document_of(path: Path) -> tuple[dict[str, object], str]:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        return json.loads(archive.read(name)), name


def test_nothing_in_a_program_runs(tmp_path: Path) -> None:
    source = exported(chain(), (4,), tmp_path / "m.pt2")
    trap = tmp_path / "sprung"
    attack = f"__import__('os').mkdir({str(trap)!r})"
    text = json.dumps(document_of(source)[0])
    for old, new in (
        ("Symbol('", f"{attack} or Symbol('"),
        ("torch.ops.aten.relu.default", "torch.serialization.os.system"),
        ('"guards_code": []', f'"guards_code": ["{attack}"]'),
        ('"name": "input"', f'"name": "x=({attack})"'),
    ):
        assert old in text
        changed = text.replace(old, new.replace('"', '"'))
        path = rewritten(source, tmp_path / "bad.pt2", {"models/model.json": changed.encode()})
        try:
            subject = load_model(path, None, [])
            subject.own_output(torch.randn(2, 4))
        except GencheckError:
            pass
        assert not trap.exists(), old


def test_a_pickled_weight_in_a_program_is_refused(tmp_path: Path) -> None:
    source = exported(chain(), (4,), tmp_path / "m.pt2")
    trap = tmp_path / "sprung"
    torch.save(Bomb(trap), tmp_path / "bomb")
    with zipfile.ZipFile(source) as archive:
        name = next(n for n in archive.namelist() if n.endswith("model_weights_config.json"))
        config = json.loads(archive.read(name))
    for entry in config["config"].values():
        entry["use_pickle"] = True
    changes = {
        "model_weights_config.json": json.dumps(config).encode(),
        "weight_0": (tmp_path / "bomb").read_bytes(),
    }
    path = rewritten(source, tmp_path / "bad.pt2", changes)
    with pytest.raises(InputError, match="more than a plain tensor"):
        load_checkpoint(path)
    assert not trap.exists()


def test_unknown_operators_of_a_program_are_all_named(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Softplus(), nn.ELU(), nn.Linear(4, 2))
    with pytest.raises(UnsupportedModel) as caught:
        load_model(exported(module, (4,), tmp_path / "m.pt2"), None, [])
    assert "aten.softplus.default at 1" in str(caught.value)
    assert "aten.elu.default at 2" in str(caught.value)


def test_a_program_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    with pytest.raises(UnsupportedModel, match=r"training mode; call model\.eval"):
        load_model(exported(module, (4,), tmp_path / "m.pt2"), None, [])


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half an archive"])
def test_damaged_files(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"m\."):
        load_checkpoint(path)


def test_truncated_programs(tmp_path: Path) -> None:
    whole = exported(chain(), (4,), tmp_path / "m.pt2").read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / "cut.pt2"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError):
            load_checkpoint(path)


def test_missing_folder_and_foreign_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "m.pt")
    (tmp_path / "d.pt").mkdir()
    with pytest.raises(InputError, match="a folder"):
        load_checkpoint(tmp_path / "d.pt")
    (tmp_path / "m.onnx").touch()
    with pytest.raises(InputError, match=r"suffix '\.onnx'"):
        load_checkpoint(tmp_path / "m.onnx")


def test_a_missing_library_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    (tmp_path / "m.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingDependency, match=r'pip install "gencheck\[safetensors\]"'):
        load_checkpoint(tmp_path / "m.safetensors")


class TestFactory:
    """--model MODULE:FACTORY."""

    @pytest.fixture(autouse=True)
    def _module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "zoo_factory.py").write_text(
            "from tests.networks import Skip\n"
            "import torch\n"
            "def make(): return Skip().double()\n"
            "def broken(): raise RuntimeError('out of luck')\n"
            "def nothing(): return 3\n"
        )

    def test_builds_and_loads(self, tmp_path: Path) -> None:
        module = build("skip")
        torch.save(module.state_dict(), tmp_path / "m.pt")
        subject = load_model(tmp_path / "m.pt", "zoo_factory:make", [(3,)])
        items = torch.randn(5, 3, dtype=torch.float64)
        torch.testing.assert_close(subject.own_output(items), module(items).detach())

    @pytest.mark.parametrize(
        ("factory", "message"),
        [
            ("zoo_factory:broken", "out of luck"),
            ("zoo_factory:nothing", "a int"),
            ("zoo_factory:absent", "AttributeError"),
            ("zoo_factory", "no ':' in it"),
            ("no_such_module:make", "ModuleNotFoundError"),
        ],
    )
    def test_refusals(self, factory: str, message: str, tmp_path: Path) -> None:
        torch.save(build("skip").state_dict(), tmp_path / "m.pt")
        with pytest.raises(InputError, match=message):
            load_model(tmp_path / "m.pt", factory, [(3,)])

    def test_weights_that_do_not_fit_are_listed(self, tmp_path: Path) -> None:
        state = build("skip").state_dict()
        state["head.weight"] = torch.ones(7, 4)
        state["extra"] = torch.ones(1)
        del state["first.bias"]
        torch.save(state, tmp_path / "m.pt")
        with pytest.raises(InputError) as caught:
            load_model(tmp_path / "m.pt", "zoo_factory:make", [(3,)])
        for part in ("first.bias is missing", "extra is not in the model", r"shape (7, 4)"):
            assert part in str(caught.value)

    def test_not_with_a_program(self, tmp_path: Path) -> None:
        exported(chain(), (4,), tmp_path / "m.pt2")
        with pytest.raises(InputError, match="brings its own graph"):
            load_model(tmp_path / "m.pt2", "zoo_factory:make", [])


def test_state_dicts_keep_their_order() -> None:
    state = StateDict({"b.weight": torch.ones(1, 1), "a.weight": torch.ones(1, 1)}, ordered=True)
    assert list(state.tensors) == ["b.weight", "a.weight"]
