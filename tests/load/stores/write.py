"""Small stores as the trackers themselves write them; `write` by name, into a folder.

python -m tests.load.stores.write FOLDER    all of them, for the fixtures kept beside this file

Needs the extra `trackers`. Every study has the trials of `TRIALS`: the score of an epoch is an error.
"""

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# before anything imports keras, whose default backend is not among the extra
os.environ.setdefault("KERAS_BACKEND", "torch")

# The errors of each trial's epochs.
TRIALS = ((0.30, 0.20, 0.18), (0.28, 0.12, 0.14), (0.40, 0.35, 0.33), (0.25, 0.22, 0.16))


def optuna_study(storage: Any) -> None:
    """Two studies: the last epoch's score, and the best epoch's; one trial pruned, one failed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)

    def objective(keep: Callable[[tuple[float, ...]], float]) -> Callable[[Any], float]:
        def run(trial: Any) -> float:
            errors = TRIALS[trial.number % 4]
            trial.suggest_float("lr", 0, 1)
            if trial.number == 5:
                raise ValueError("the loader broke before the first epoch")
            for epoch, error in enumerate(errors):
                trial.report(error, epoch)
                if trial.number == 2 and epoch == 1:
                    raise optuna.TrialPruned
            return keep(errors)

        return run

    for name, keep in (("last", lambda errors: errors[-1]), ("best", min)):
        study = optuna.create_study(
            storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(seed=0)
        )
        study.optimize(objective(keep), n_trials=6, catch=(ValueError,))


def write_optuna_sqlite(folder: Path) -> Path:
    optuna_study(f"sqlite:///{folder / 'optuna.db'}")
    return folder / "optuna.db"


def write_optuna_tpe(folder: Path) -> Path:
    """Six trials of TPE, two of them at random before it starts; the errors are those of 100 items."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / "tpe.log"))),
        sampler=optuna.samplers.TPESampler(n_startup_trials=2, seed=0),
        study_name="tpe",
    )
    study.optimize(lambda trial: round(trial.suggest_float("lr", 0.1, 0.4), 2), n_trials=6)
    return folder / "tpe.log"


def write_optuna_journal(folder: Path) -> Path:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna_study(JournalStorage(JournalFileBackend(str(folder / "optuna.log"))))
    return folder / "optuna.log"


def _mlflow_runs(address: str) -> None:
    import mlflow

    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("digits")
    for number, errors in enumerate(TRIALS):
        with mlflow.start_run(run_name=f"run-{number}") as run:
            mlflow.log_param("lr", number)
            for epoch, error in enumerate(errors):
                mlflow.log_metric("val_accuracy", 1 - error, step=epoch)
                mlflow.log_metric("val_loss", 3 * error, step=epoch)
        if number == 2:
            mlflow.delete_run(run.info.run_id)


def write_mlflow_folder(folder: Path) -> Path:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    _mlflow_runs((folder / "mlruns").as_uri())
    return folder / "mlruns"


def write_mlflow_sqlite(folder: Path) -> Path:
    _mlflow_runs(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


def write_lightning(folder: Path) -> Path:
    from lightning.pytorch.loggers import CSVLogger

    for number, errors in enumerate(TRIALS):
        logger = CSVLogger(folder / "lightning", name="net", version=number)
        for epoch, error in enumerate(errors):
            logger.log_metrics({"train_loss": error / 2}, step=2 * epoch)
            logger.log_metrics({"val_error": error, "epoch": epoch}, step=2 * epoch + 1)
        logger.save()
    return folder / "lightning"


HYDRA = """
import json, sys
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig
@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    (out / "metrics.json").write_text(json.dumps({"val_error": cfg.error}))
main()
"""


def write_hydra(folder: Path) -> Path:
    import subprocess

    (folder / "app.py").write_text(HYDRA)
    (folder / "config.yaml").write_text("error: 0\n")
    errors = ",".join(str(errors[-1]) for errors in TRIALS)
    command = [sys.executable, "app.py", "-m", f"error={errors}", "hydra.sweep.dir=hydra"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "hydra"


def write_wandb(folder: Path) -> Path:
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    import wandb

    for errors in TRIALS:
        run = wandb.init(project="digits", dir=str(folder))
        for error in errors:
            run.log({"val_error": error})
        run.finish()
    return folder / "wandb"


def write_ray(folder: Path) -> Path:
    import ray
    from ray import tune

    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")

    def train(config: dict[str, Any]) -> None:
        for error in TRIALS[config["number"]]:
            tune.report({"val_error": error})

    tune.Tuner(
        train,
        param_space={"number": tune.grid_search([0, 1, 2, 3])},
        run_config=tune.RunConfig(storage_path=str(folder), name="ray", verbose=0),
    ).fit()
    ray.shutdown()
    return folder / "ray"


def write_keras_tuner(folder: Path) -> Path:
    import keras_tuner

    class Tuner(keras_tuner.RandomSearch):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **options: Any) -> list[dict[str, float]]:
            trial.hyperparameters.Float("lr", 0, 1)
            return [{"val_accuracy": 1 - TRIALS[int(trial.trial_id)][-1]}]

    tuner = Tuner(
        hypermodel=lambda _: None,
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_trials=4,
        directory=str(folder / "keras"),
        project_name="digits",
    )
    tuner.search(verbose=0)
    return folder / "keras" / "digits"


def write_optuna_table(folder: Path) -> Path:
    import optuna

    path = write_optuna_sqlite(folder)
    study = optuna.load_study(study_name="best", storage=f"sqlite:///{path}")
    study.trials_dataframe().to_csv(folder / "trials.csv", index=False)
    return folder / "trials.csv"


WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "optuna.db": ("optuna", write_optuna_sqlite),
    "optuna.log": ("optuna", write_optuna_journal),
    "tpe.log": ("optuna", write_optuna_tpe),
    "trials.csv": ("optuna", write_optuna_table),
    "mlruns": ("mlflow", write_mlflow_folder),
    "mlflow.db": ("mlflow", write_mlflow_sqlite),
    "lightning": ("lightning", write_lightning),
    "hydra": ("hydra", write_hydra),
    "wandb": ("wandb", write_wandb),
    "ray": ("ray", write_ray),
    "keras/digits": ("keras_tuner", write_keras_tuner),
}

# What a fixture needs of a database, the rest of which is empty or beside the point.
_KEPT = {
    *("studies", "study_directions", "trials", "trial_values", "trial_intermediate_values"),
    *("experiments", "runs", "metrics"),
}
_TEXT = {".json", ".yaml", ".csv", ".log", ""}


def keep(store: Path, target: Path) -> None:
    """Copy what is read of a store to `target`: databases as SQL, no paths, names or blobs."""
    if store.suffix == ".db":
        with sqlite3.connect(store) as connection:
            lines = [
                line
                for line in connection.iterdump()
                if (
                    found := re.match(
                        r'(?:CREATE TABLE(?: IF NOT EXISTS)?|INSERT INTO) "?(\w+)', line
                    )
                )
                and found[1] in _KEPT
            ]
        text = "\n".join(lines) + "\n"
        target.with_suffix(".sql").write_text(_plain(text, store.parent))
        return
    files = [store] if store.is_file() else sorted(p for p in store.rglob("*") if p.is_file())
    for file in files:
        if not _is_read(file):
            continue
        copy = target if store.is_file() else target / file.relative_to(store)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in _TEXT:
            copy.write_text(_plain(file.read_text(encoding="utf-8"), store.parent))
        else:
            copy.write_bytes(b"")


def _is_read(file: Path) -> bool:
    if "metrics" in file.parts or file.name in {"meta.yaml", "metrics.csv", "overrides.yaml"}:
        return True
    if file.name.startswith("experiment_state"):
        return True
    return file.name in {
        "result.json",
        "trial.json",
        "metrics.json",
        "optuna.log",
        "tpe.log",
        "trials.csv",
    } or (file.suffix == ".wandb")


def _plain(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "/work-folder")
    text = text.replace(str(Path.cwd()), "/work-folder")
    text = re.sub(r'(\\?"value\\?": \\?")80[0-9a-f]+', r"\1", text)
    text = re.sub(r'(\\?": \\?")80[0-9a-f]{6,}', r"\1", text)
    text = re.sub(r'("(?:hostname|node_ip)": ")[^"]*', r"\1x", text)
    text = re.sub(r'(\\"(?:hostname|node_ip)\\": \\")[^"\\]*', r"\1x", text)
    text = re.sub(r"user_id: .*", "user_id: x", text)
    return re.sub(r"'root'", "'x'", text)


def main() -> None:
    """Write every store to a folder, and what is read of it beside this file."""
    folder = Path(sys.argv[1]).absolute()
    names = sys.argv[2:] or list(WRITERS)
    for name in names:
        own = folder / name.replace("/", "-")
        own.mkdir(parents=True)
        keep(WRITERS[name][1](own), Path(__file__).parent / name)
        print(json.dumps(name))


if __name__ == "__main__":
    main()
