"""Small evaluation logs as the tools themselves write them.

python -m tests.load.logs.write FOLDER    all of them, for those kept beside this file

Needs the extra `trackers`, and `crfm-helm`, whose pins want an environment of their own. Inspect's model
is replaced by a solver that answers from the sample's number, lm-evaluation-harness' is its own dummy
model, and HELM's are those of `ANSWERS`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ITEMS = 8


def write_inspect(folder: Path) -> Path:
    """Two tasks as `.eval` and `.json`: one scorer and two epochs; two scorers, one with C, P, I, N."""
    import inspect_ai
    from inspect_ai import Epochs, Task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import (
        CORRECT,
        INCORRECT,
        NOANSWER,
        PARTIAL,
        Score,
        accuracy,
        match,
        scorer,
    )
    from inspect_ai.solver import solver

    @solver
    def says() -> Any:
        async def answer(state: Any, generate: Any) -> Any:
            right = (int(state.sample_id[1:]) + state.epoch) % 3
            state.output = ModelOutput.from_content("mockllm/model", "yes" if right else "no")
            return state

        return answer

    @scorer(metrics=[accuracy()])
    def graded() -> Any:
        async def grade(state: Any, target: Any) -> Any:
            grades = (CORRECT, PARTIAL, INCORRECT, NOANSWER)
            return Score(value=grades[int(state.sample_id[1:]) % 4])

        return grade

    samples = [Sample(id=f"q{i}", input=f"question {i}", target="yes") for i in range(ITEMS)]
    dataset = MemoryDataset(samples, name="toy")
    tasks = {
        "epochs": Task(
            dataset=dataset, scorer=match(), solver=says(), name="epochs", epochs=Epochs(2, "mean")
        ),
        "graded": Task(dataset=dataset, scorer=[match(), graded()], solver=says(), name="graded"),
    }
    target = folder / "inspect"
    target.mkdir()
    for name, task in tasks.items():
        for suffix in ("eval", "json"):
            (log,) = inspect_ai.eval(
                task,
                model="mockllm/model",
                log_dir=str(folder / "raw"),
                log_format=suffix,  # type: ignore[arg-type]
                display="none",
            )
            shutil.copy(log.location, target / f"{name}.{suffix}")
    return target


TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: items.jsonl}}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
doc_to_choice: ["yes", "no"]
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}{more}]
"""


def write_harness(folder: Path) -> Path:
    """Two tasks, one with two metrics."""
    more = ", {metric: acc_norm, aggregation: mean, higher_is_better: true}"
    (folder / "one.yaml").write_text(TASK.format(name="toy_one", more=""))
    (folder / "two.yaml").write_text(TASK.format(name="toy_two", more=more))
    rows = [json.dumps({"q": f"question {i}", "a": i % 2}) for i in range(ITEMS)]
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n")
    command = [
        *(sys.executable, "-m", "lm_eval", "--model", "dummy", "--tasks", "toy_one,toy_two"),
        *("--include_path", ".", "--output_path", "harness", "--log_samples"),
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (run,) = (folder / "harness").iterdir()
    run.rename(folder / "harness" / "dummy")
    return folder / "harness"


ANSWERS = """
import re
from helm.clients.simple_client import SimpleClient
class Answers(SimpleClient):
    def invoke_model(self, raw_request):
        number = int(re.findall(r"Is (\\d+) even or odd", raw_request["prompt"])[-1])
        wrong = number % 3 == 0 or raw_request["engine"] == "second" and number % 5 == 1
        return {"completions": ["AB"[(number + wrong) % 2]] * raw_request["num_completions"]}
"""
DEPLOYMENT = """
  - name: toy/{name}
    model_name: toy/{name}
    tokenizer_name: simple/tokenizer1
    max_sequence_length: 2048
    client_spec: {{class_name: "answers.Answers"}}
"""
MODEL = """
  - name: toy/{name}
    display_name: {name}
    description: answers from the number
    creator_organization_name: toy
    access: open
    release_date: 2023-01-01
    tags: [TEXT_MODEL_TAG, FULL_FUNCTIONALITY_TEXT_MODEL_TAG]
"""
HELM_RUNS = {
    "toy": ("simple_mcqa:model=toy/first", "simple_mcqa:model=toy/second"),
    "twice": ("simple_mcqa:model=toy/first,num_train_trials=2",),
    "perturbed": ("simple_mcqa:model=toy/first,data_augmentation=lower",),
}


def write_helm(folder: Path) -> Path:
    """Three suites: two models; one with two trials of every instance; one with a perturbation."""
    (folder / "answers.py").write_text(ANSWERS)
    own = folder / "prod_env"
    own.mkdir()
    for file, text in (("model_deployments", DEPLOYMENT), ("model_metadata", MODEL)):
        key = "models" if file == "model_metadata" else file
        rows = "".join(text.format(name=name) for name in ("first", "second"))
        (own / f"{file}.yaml").write_text(f"{key}:\n{rows}")
    for suite, entries in HELM_RUNS.items():
        command = [
            *(sys.executable, "-m", "helm.benchmark.run", "--run-entries", *entries),
            *("--suite", suite, "-m", str(ITEMS), "--local-path", "prod_env"),
            *("--output-path", "out", "-n", "1", "--disable-cache"),
        ]
        environment = os.environ | {"PYTHONPATH": str(folder)}
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    (folder / "out" / "runs").rename(folder / "helm")
    return folder / "helm"


def keep_helm(path: Path) -> None:
    """Leave the statistics that are read, of each run, under a name that every system can hold."""
    for run in path.glob("*/*"):
        if run.name == "eval_cache":
            shutil.rmtree(run)
        else:
            run.rename(run.with_name(run.name.replace(":", "@")))
    for file in path.rglob("*.*"):
        if file.name != "per_instance_stats.json":
            file.unlink()
            continue
        records = json.loads(file.read_text(encoding="utf-8"))
        for record in records:
            read = {"exact_match", "num_references"}
            record["stats"] = [s for s in record["stats"] if s["name"]["name"] in read]
        file.write_text(json.dumps(records, indent=1), encoding="utf-8")


def main() -> None:
    """Write all logs, or those named, and keep them beside this file, without the machine's names."""
    folder, own = Path(sys.argv[1]).absolute(), Path(__file__).parent
    folder.mkdir()
    writers = {"inspect": write_inspect, "harness": write_harness, "helm": write_helm}
    for name in sys.argv[2:] or writers:
        path = writers[name](folder)
        if name == "helm":
            keep_helm(path)
        shutil.rmtree(own / path.name, ignore_errors=True)
        shutil.copytree(path, own / path.name, ignore=shutil.ignore_patterns("results_*"))
        if name != "helm":
            _keep(own / path.name, folder)


def _keep(own: Path, folder: Path) -> None:
    for file in own.rglob("*.json*"):
        text = file.read_text(encoding="utf-8").replace(str(folder), "/work-folder")
        if file.suffix == ".json":
            log = json.loads(text)
            for sample in log["samples"]:
                # what is long and not read
                for key in ("events", "events_data", "messages"):
                    sample.pop(key)
            text = json.dumps(log, indent=1)
        file.write_text(re.sub(r'"(location|path)": "[^"]*"', r'"\1": "x"', text), encoding="utf-8")


if __name__ == "__main__":
    main()
