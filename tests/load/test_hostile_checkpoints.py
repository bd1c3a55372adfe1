"""Odd, damaged and oversized checkpoints: refused by name, or read as what they mean."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from gencheck.audit.model import load_model, model_of_module
from gencheck.errors import GencheckError, InputError, UnsupportedModel
from gencheck.load.checkpoint import load_checkpoint
from gencheck.load.parametrised import with_effective_weights
from gencheck.memory import memory_limit

safetensors = pytest.importorskip("safetensors.torch")

SMALL = 10 * 2**20
ITEMS = torch.linspace(-1, 1, 20).reshape(5, 4)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def factory() -> nn.Module:
    return chain()


FACTORY = "tests.load.test_hostile_checkpoints:factory"


class TestOddWeights:
    ODD: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {  # noqa: RUF012
        "sparse": (lambda w: w.to_sparse(), r"a sparse tensor \(sparse_coo\)"),
        "rows": (lambda w: w.to_sparse_csr(), r"a sparse tensor \(sparse_csr\)"),
        "float8": (lambda w: w.to(torch.float8_e4m3fn), "element type float8_e4m3fn"),
        "complex": (lambda w: w.to(torch.complex64), "element type complex64"),
        "quantised": (
            lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
            "a quantised tensor",
        ),
        "meta": (lambda w: w.to("meta"), "a tensor without numbers"),
    }

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("kind", ODD)
    @pytest.mark.parametrize("model", [None, FACTORY])
    def test_refused_by_name(self, kind: str, model: str | None, tmp_path: Path) -> None:
        change, found = self.ODD[kind]
        state = dict(chain().state_dict())
        state["2.weight"] = change(state["2.weight"])
        torch.save(state, tmp_path / "m.pt")
        with pytest.raises(InputError, match=rf"m\.pt, 2\.weight: found {found}"):
            load_model(tmp_path / "m.pt", model, [(4,)])

    @pytest.mark.parametrize("name", ["2.weight", "2.bias"])
    @pytest.mark.parametrize("model", [None, FACTORY])
    def test_whole_numbers_where_the_model_has_real_ones(
        self, name: str, model: str | None, tmp_path: Path
    ) -> None:
        state = dict(chain().state_dict())
        state[name] = state[name].to(torch.int64)
        torch.save(state, tmp_path / "m.pt")
        with pytest.raises(InputError, match=rf"2\.{name[2:]} .*int64"):
            load_model(tmp_path / "m.pt", model, [(4,)])

    def test_float8_in_safetensors(self, tmp_path: Path) -> None:
        state = {"0.weight": torch.ones(2, 4).to(torch.float8_e5m2)}
        safetensors.save_file(state, tmp_path / "m.safetensors")
        with pytest.raises(InputError, match="element type float8_e5m2"):
            load_checkpoint(tmp_path / "m.safetensors")

    def test_a_repeated_weight_counts_by_its_shape(self, tmp_path: Path) -> None:
        weight = torch.zeros(1, 1).expand(2000, 2000)
        torch.save({"0.weight": weight}, tmp_path / "m.pt")
        with memory_limit(SMALL), pytest.raises(InputError, match=r"by their shapes, of 15\.3 MiB"):
            load_checkpoint(tmp_path / "m.pt")

    def test_and_so_it_does_in_a_program(self, tmp_path: Path) -> None:
        path = program(chain(), tmp_path)
        config = part(path, "model_weights_config.json")
        meta = config["config"]["2.weight"]["tensor_meta"]
        meta["sizes"] = [{"as_int": 40_000}, {"as_int": 45_000}]
        meta["strides"] = [{"as_int": 0}, {"as_int": 0}]
        changed = rewritten(path, "model_weights_config.json", config)
        with memory_limit(SMALL), pytest.raises(InputError, match=r"2\.weight.* of 6\.71 GiB"):
            load_checkpoint(changed)

    def test_an_archive_that_unpacks_to_more_than_memory(self, tmp_path: Path) -> None:
        for suffix in ("pt", "pt2", "ckpt"):
            path = tmp_path / f"m.{suffix}"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("archive/data.pkl", bytes(2 * SMALL))
            with memory_limit(SMALL), pytest.raises(InputError, match="an archive that unpacks"):
                load_checkpoint(path)


class TestShards:
    def index(self, folder: Path, text: str) -> Path:
        path = folder / "model.safetensors.index.json"
        path.write_text(text)
        return path

    @pytest.mark.parametrize(
        "text", ["[" * 100_000, '{"weight_map": ' * 50_000, "{}", "[]", "1", "", '{"weight_map":1}']
    )
    def test_an_index_that_is_none(self, text: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"index\.json: found .*required: the index of a"):
            load_checkpoint(self.index(tmp_path, text))

    @pytest.mark.parametrize(
        "shard", ["s" * 5000, "a\0b", "..", ".", "", "/etc/passwd", "a/b", "x"]
    )
    def test_names_that_are_no_file_beside_it(self, shard: str, tmp_path: Path) -> None:
        index = self.index(tmp_path, json.dumps({"weight_map": {"0.weight": shard}}))
        with pytest.raises(InputError) as caught:
            load_checkpoint(index)
        assert len(str(caught.value)) < 1500


# Exporting takes a second; the programs here are few.
EXPORTED: dict[str, bytes] = {}


def program(module: nn.Module, folder: Path, shape: tuple[int, ...] = (4,)) -> Path:
    path = folder / "m.pt2"
    key = f"{module} {vars(module).get('value')} {vars(module).get('kind')}"
    if key not in EXPORTED:
        torch.export.save(torch.export.export(module.eval(), (torch.randn(3, *shape),)), path)
        EXPORTED[key] = path.read_bytes()
    path.write_bytes(EXPORTED[key])
    return path


def part(path: Path, end: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(next(n for n in archive.namelist() if n.endswith(end))))


def rewritten(path: Path, end: str, document: Any) -> Path:
    """A copy with the one JSON document changed."""
    changed = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, json.dumps(document) if name.endswith(end) else old.read(name))
    return changed


class Padded(nn.Module):
    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value, self.last = value, nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(nn.functional.pad(x, (1, 1), value=self.value))
        return out


class TestPrograms:
    @pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e13])
    def test_constants_that_json_has_no_words_for(self, value: float, tmp_path: Path) -> None:
        with pytest.raises(UnsupportedModel, match=rf"{value}.*; covered: zeros"):
            load_model(program(Padded(value), tmp_path), None, [])

    def test_a_clamp_at_infinity_is_read(self, tmp_path: Path) -> None:
        class Clamped(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 2)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.last(torch.clamp(self.first(x), float("-inf"), float("inf")))
                return out

        with pytest.raises(UnsupportedModel, match="clamp"):
            load_model(program(Clamped(), tmp_path), None, [])

    @pytest.mark.parametrize("amount", [10**13, -(10**13), 2**62, 2**30])
    def test_amounts_of_padding_beyond_memory(self, amount: int, tmp_path: Path) -> None:
        path = program(Padded(), tmp_path)
        document = part(path, "models/model.json")
        for node in document["graph_module"]["graph"]["nodes"]:
            if "pad" in node["target"]:
                node["inputs"][1]["arg"] = {"as_ints": [amount, 1]}
        with pytest.raises(GencheckError) as caught:
            load_model(rewritten(path, "models/model.json", document), None, [])
        assert caught.value.exit_code in {2, 3}

    def test_padding_of_a_convolution_beyond_memory(self, tmp_path: Path) -> None:
        module = nn.Sequential(
            nn.Conv1d(1, 1, 2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5, 2)
        )
        path = program(module, tmp_path, (1, 4))
        text = json.dumps(part(path, "models/model.json"))
        old = '"name": "padding", "arg": {"as_ints": [1]}'
        assert old in text
        document = json.loads(text.replace(old, old.replace("[1]", f"[{10**13}]")))
        with pytest.raises(UnsupportedModel, match="more than can be held"):
            load_model(rewritten(path, "models/model.json", document), None, [])

    def test_parameters_are_counted_without_buffers_and_once(self, tmp_path: Path) -> None:
        class Shared(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
                self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
                self.second.weight = self.first.weight

            def forward(self, x: Tensor) -> Tensor:
                x = torch.relu(self.norm(self.first(x)))
                out: Tensor = self.last(torch.relu(self.second(x)))
                return out

        module = Shared()
        expected = sum(p.numel() for p in module.parameters())
        assert load_model(program(module, tmp_path), None, []).parameters == expected
        assert model_of_module(module, [(4,)]).parameters == expected

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool])
    def test_whole_numbers_as_weights(self, dtype: torch.dtype, tmp_path: Path) -> None:
        path = program(chain(), tmp_path)
        config = part(path, "model_weights_config.json")
        number = {torch.int64: 5, torch.int8: 2, torch.bool: 12}[dtype]
        meta = config["config"]["2.bias"]["tensor_meta"]
        meta["dtype"], meta["sizes"], meta["strides"] = number, [{"as_int": 1}], [{"as_int": 1}]
        changed = rewritten(path, "model_weights_config.json", config)
        found = (
            "multiple of element size" if dtype == torch.int64 else r"2\.bias: found a parameter"
        )
        with pytest.raises(InputError, match=found):
            load_model(changed, None, [])


class Several(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.last = kind, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        out = self.last(x)
        return {"dict": {"logits": out, "more": x}, "two": (out, x), "none": None}[self.kind]


@pytest.mark.parametrize("kind", ["dict", "two", "none"])
def test_a_forward_that_returns_more_than_one_tensor(kind: str, tmp_path: Path) -> None:
    with pytest.raises(GencheckError, match="output"):
        model_of_module(Several(kind), [(4,)])
    if kind != "none":
        with pytest.raises(GencheckError, match="output"):
            load_model(program(Several(kind), tmp_path), None, [])


def pruned(layer: nn.Linear) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.5)


PARAMETRISED: dict[str, Callable[[nn.Linear], nn.Module]] = {
    "weight_norm": weight_norm,
    "weight_norm_whole": lambda layer: weight_norm(layer, dim=None),
    "weight_norm_new": parametrizations.weight_norm,
    "spectral_norm": spectral_norm,
    "spectral_norm_new": parametrizations.spectral_norm,
    "pruned": pruned,
}


def parametrised(kind: str) -> nn.Sequential:
    """The chain with each layer in parts, trained for a step so that the parts are no defaults."""
    module = chain()
    for at in (0, 2):
        PARAMETRISED[kind](module[at])
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(ITEMS).square().sum().backward()
    optimizer.step()
    module(ITEMS)
    return module.eval()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
class TestParametrised:
    @pytest.mark.parametrize("model", [None, FACTORY])
    @pytest.mark.parametrize("kind", PARAMETRISED)
    def test_the_effective_weight_is_computed(
        self, kind: str, model: str | None, tmp_path: Path
    ) -> None:
        module = parametrised(kind)
        torch.save({f"net.{k}": v for k, v in module.state_dict().items()}, tmp_path / "m.pt")
        subject = load_model(tmp_path / "m.pt", model, [(4,)])
        torch.testing.assert_close(subject.own_output(ITEMS), module(ITEMS).detach())
        assert any("2 effective weights computed from" in note for note in subject.notes)

    @pytest.mark.parametrize("kind", PARAMETRISED)
    def test_a_live_module_with_parts(self, kind: str) -> None:
        module = parametrised(kind)
        names = set(module.state_dict())
        subject = model_of_module(module, [(4,)])
        torch.testing.assert_close(subject.own_output(ITEMS), module(ITEMS).detach())
        assert set(module.state_dict()) == names, "the module itself was changed"
        assert subject.network.operations()["dense"] == 2

    def test_a_factory_with_parts_of_its_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import tests.load.test_hostile_checkpoints as here

        module = parametrised("weight_norm")
        torch.save(module.state_dict(), tmp_path / "m.pt")
        monkeypatch.setattr(here, "factory", lambda: parametrised("weight_norm"))
        subject = load_model(tmp_path / "m.pt", FACTORY, [(4,)])
        torch.testing.assert_close(subject.own_output(ITEMS), module(ITEMS).detach())

    def test_convolutions(self) -> None:
        for layer in (nn.Conv2d(2, 3, 2), nn.ConvTranspose2d(2, 3, 2)):
            for change in (weight_norm, spectral_norm, parametrizations.spectral_norm):
                module = change(layer.__class__(2, 3, 2)).eval()
                x = torch.randn(1, 2, 4, 4)
                expected = module(x)
                made, _ = with_effective_weights(dict(module.state_dict()), None, "m")
                layer.load_state_dict(made)
                torch.testing.assert_close(layer(x), expected, msg=f"{layer}, {change}")

    def test_others_are_refused_with_the_way_out(self, tmp_path: Path) -> None:
        module = chain()
        parametrizations.orthogonal(module[2])
        torch.save(module.state_dict(), tmp_path / "m.pt")
        with pytest.raises(InputError, match=r"2\.weight: found a parametrisation.*remove_param"):
            load_model(tmp_path / "m.pt", None, [(4,)])

    def test_names_that_merely_end_alike_are_left_alone(self) -> None:
        state = {"weight_g": torch.ones(2), "time_v": torch.ones(2), "a_orig": torch.ones(2)}
        assert with_effective_weights(state, None, "m") == (state, [])

    def test_parts_that_do_not_fit_together(self) -> None:
        state = {"a.weight_g": torch.ones(7, 1), "a.weight_v": torch.ones(2, 4)}
        with pytest.raises(InputError, match="parts of shapes"):
            with_effective_weights(state, None, "m")
