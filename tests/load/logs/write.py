"""Small evaluation logs as the tools themselves write them.

python -m tests.load.logs.write FOLDER    all of them, for those kept beside this file

Needs the extra `trackers`. Inspect's model is replaced by a solver that answers from the sample's
number, lm-evaluation-harness' is its own dummy model.
"""

import json
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


def main() -> None:
    """Write all logs and keep them beside this file, without the machine's names."""
    folder, own = Path(sys.argv[1]).absolute(), Path(__file__).parent
    folder.mkdir()
    for write in (write_inspect, write_harness):
        path = write(folder)
        shutil.rmtree(own / path.name, ignore_errors=True)
        shutil.copytree(path, own / path.name, ignore=shutil.ignore_patterns("results_*"))
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
