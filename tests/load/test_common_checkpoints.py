"""Checkpoints as training scripts, Lightning and torch's own utilities write them."""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gencheck.audit.model import AuditedModel, load_model
from gencheck.errors import InputError
from gencheck.load.checkpoint import load_checkpoint

ITEMS = torch.linspace(-1, 1, 20).reshape(5, 4)


def chain(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


class Named(nn.Module):
    """Built by the factory of the tests."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.first(x)))
        return out


FACTORY = "tests.load.test_common_checkpoints:Named"


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def same_output(subject: AuditedModel, module: nn.Module) -> None:
    torch.testing.assert_close(subject.own_output(ITEMS), module.eval()(ITEMS).detach())


def training_state(module: nn.Module) -> dict[str, Any]:
    """An optimiser with its state, and what else scripts keep."""
    optimizer = torch.optim.Adam(module.parameters())
    module(ITEMS).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "by_name": {"state": {"0.weight": {"exp_avg": torch.ones(2, 2)}}, "param_groups": []},
        "nothing": {},
        "loss": torch.tensor(0.25),
        "best": {"accuracy": torch.tensor(0.5)},
        "arch": "chain",
    }


@pytest.mark.parametrize(
    "key", ["model_state_dict", "state_dict", "model", "net", "params", "ema", "weights"]
)
def test_the_one_state_dict_beside_epoch_and_optimizer(key: str, tmp_path: Path) -> None:
    module = chain()
    others = training_state(module)
    subject = load_model(
        saved(others | {key: module.state_dict()}, tmp_path / "m.pt"), None, [(4,)]
    )
    same_output(subject, module)
    assert subject.notes[0] == f"the state dict under the key {key!r}"


def test_several_fit_and_the_key_chooses(tmp_path: Path) -> None:
    module, average = chain(), chain(1)
    content = training_state(module) | {
        "model_state_dict": module.state_dict(),
        "ema": {"shadow": average.state_dict()},
    }
    path = saved(content, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"2 state dicts, under model_state_dict, ema\.shadow"):
        load_model(path, None, [(4,)])
    same_output(load_model(path, None, [(4,)], key="ema.shadow"), average)
    same_output(load_model(path, None, [(4,)], key="model_state_dict"), module)
    with pytest.raises(InputError, match="--key absent: found no state dict under it"):
        load_model(path, None, [(4,)], key="absent")


def test_a_key_belongs_to_pickled_files(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(chain(), (ITEMS,)), tmp_path / "m.pt2")
    with pytest.raises(InputError, match=r"--key only with \.ckpt, \.pt, \.pth"):
        load_model(tmp_path / "m.pt2", None, [], key="model")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    lightning = pytest.importorskip("lightning")

    class Task(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self, width: int, config: Any) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = chain()
            self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            loss: Tensor = self.criterion(self.net(batch[0]), batch[1])
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    folder = tmp_path_factory.mktemp("lightning")
    data = torch.utils.data.TensorDataset(ITEMS, torch.zeros(5, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = Task(3, argparse.Namespace(secret=Sprung()))
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(task, torch.utils.data.DataLoader(data, batch_size=5))
        trainer.save_checkpoint(folder / "m.ckpt")
    return folder / "m.ckpt", task.net


@pytest.mark.slow
class TestLightning:
    def test_its_weights_are_read_by_its_suffix_alone(
        self, written: tuple[Path, nn.Module]
    ) -> None:
        Sprung.made.clear()
        subject = load_model(written[0], None, [(4,)])
        same_output(subject, written[1])
        assert "left out, as no part of the model: criterion.weight" in subject.notes
        assert not Sprung.made, "a hyper-parameter was unpickled"
        torch.load(written[0], weights_only=False)
        assert Sprung.made, "the trap does not work"

    def test_with_a_factory_the_prefix_is_taken_off(self, written: tuple[Path, nn.Module]) -> None:
        subject = load_model(written[0], "tests.load.test_common_checkpoints:chain", [(4,)])
        same_output(subject, written[1])
        assert "prefix 'net.' taken off every name" in subject.notes

    def test_a_file_under_another_suffix_is_refused_by_the_classes_it_names(
        self, written: tuple[Path, nn.Module], tmp_path: Path
    ) -> None:
        (tmp_path / "m.pt").write_bytes(written[0].read_bytes())
        with pytest.raises(InputError, match=r"would have to run code.*argparse\.Namespace"):
            load_checkpoint(tmp_path / "m.pt")


class Sprung:
    """Counts how often it is unpickled."""

    made: list[int] = []  # noqa: RUF012 - a trap for the tests

    def __setstate__(self, state: dict[str, int]) -> None:
        Sprung.made.append(1)

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04 half", None])
def test_damaged_lightning_files(content: bytes | None, tmp_path: Path) -> None:
    path = saved({"state_dict": chain().state_dict()}, tmp_path / "m.ckpt")
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(InputError, match=r"m\.ckpt: found a damaged or foreign file"):
        load_checkpoint(path)


def export_it(remedy: str, **names: Any) -> None:
    """Run the three lines that a message gives."""
    lines = [line.strip() for line in remedy.splitlines()[1:]]
    assert len(lines) == 3
    exec("\n".join(lines), {"ITEM_SHAPE": (4,)} | names)


@pytest.fixture
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("_in_folder")
class TestThreeLines:
    def said(self, path: Path) -> InputError:
        with pytest.raises(InputError) as caught:
            load_checkpoint(path)
        text = str(caught.value)
        assert "\x1b" not in text
        assert "weights_only=True" not in text
        return caught.value

    @pytest.mark.parametrize("old", [False, True])
    def test_a_pickled_module(self, old: bool, tmp_path: Path) -> None:
        module = chain()
        torch.save(module, "m.pt", _use_new_zipfile_serialization=not old)
        error = self.said(tmp_path / "m.pt")
        assert "a whole pickled module ('torch.nn.modules.container.Sequential')" in str(error)
        export_it(error.remedy)
        same_output(load_model(tmp_path / "model.pt2", None, []), module)

    @pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
    def test_torchscript(self, suffix: str, tmp_path: Path) -> None:
        module = chain()
        torch.jit.save(torch.jit.script(module), f"m{suffix}")
        error = self.said(tmp_path / f"m{suffix}")
        assert "a TorchScript program" in str(error)
        export_it(error.remedy, Net=chain)
        same_output(load_model(tmp_path / "model.pt2", None, []), module)

    def test_onnx(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(b"\x08\x0a")
        error = self.said(tmp_path / "m.onnx")
        assert "an ONNX file" in str(error)
        export_it(error.remedy, Net=chain)
        same_output(load_model(tmp_path / "model.pt2", None, []), chain())


class TestNames:
    def test_a_prefix_that_meets_the_model_is_taken_off(self, tmp_path: Path) -> None:
        module = Named()
        state = {f"a.b.{name}": tensor for name, tensor in module.state_dict().items()}
        subject = load_model(saved(state, tmp_path / "m.pt"), FACTORY, [(4,)])
        same_output(subject, module)
        assert subject.notes == ("prefix 'a.b.' taken off every name",)

    def test_one_that_does_not_is_named(self, tmp_path: Path) -> None:
        state = {f"net.{name}": t for name, t in Named().state_dict().items()}
        state["net.extra"] = torch.ones(2)
        with pytest.raises(InputError, match=r"all 5 names begin with net\.; first\.weight is"):
            load_model(saved(state, tmp_path / "m.pt"), FACTORY, [(4,)])

    def test_an_averaged_model(self, tmp_path: Path) -> None:
        for factory, module in ((None, chain()), (FACTORY, Named())):
            path = saved(AveragedModel(module).state_dict(), tmp_path / "m.pt")
            subject = load_model(path, factory, [(4,)])
            same_output(subject, module)
            assert "left out, as no part of the model: n_averaged" in subject.notes

    def test_a_criterion_beside_the_weights(self, tmp_path: Path) -> None:
        module = Named()
        state = module.state_dict() | {"criterion.weight": torch.ones(3), "loss_fn.pos": ITEMS}
        subject = load_model(saved(state, tmp_path / "m.pt"), FACTORY, [(4,)])
        same_output(subject, module)
        assert subject.notes == (
            "left out, as no part of the model: criterion.weight, loss_fn.pos",
        )
