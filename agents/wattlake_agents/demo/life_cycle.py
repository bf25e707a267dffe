"""The steps in which a model lives: data, experiments, training, fine-tuning, serving. Each is a labelled job."""

from __future__ import annotations

import json
import re
from pathlib import Path

from wattlake_agents.demo.process import options, script, wait_until, wattlake
from wattlake_agents.demo.settings import NODE, SITE, STORE
from wattlake_agents.demo.stage import Stage, StepError
from wattlake_agents.demo.workload.ask import call
from wattlake_agents.demo.workload.train import DIVERGED
from wattlake_contracts.amount import amount

BASE, TUNED = "tiny-text", "tiny-text-service"
_LABELS = {"team": "demo", "project": "wattlake-demo", "user": "demo"}
_SERVING_JOB = "demo-serve"
#: Learning rates that are tried, and the exit code expected: the last one is far too high.
_RATES = ((0.1, 0), (1.0, 0), (30.0, DIVERGED))
_EXPERIMENT_S, _TRAIN_S, _TUNE_S, _SERVE_S = 3.0, 8.0, 4.0, 6.0
_READY_S = 30.0


def data(stage: Stage) -> str:
    """Make the data at the store, move it here, clean it, and record what was moved."""
    work = stage.folder.work
    stage.call(*_as_job("demo-data", "data", dataset="corpus", model=BASE),
               *script("prepare", store=work / "store", data=work / "data", result=work / "moved.json"))
    moved = stage.result("moved.json")
    # loopback stands in for the network between a store and a machine
    stage.wattlake("record", "transfer", *options(
        id="demo-corpus", ts=moved["began_ms"], bytes=moved["bytes"], medium="lan", from_site=STORE, to_site=SITE, job="demo-data",
        model=BASE, dataset="corpus", duration_s=moved["seconds"]))
    return f"{moved['bytes'] / 1e6:.1f} MB moved over loopback, {amount(moved['lines'], 'line')} kept"


def experiments(stage: Stage) -> str:
    """Try three learning rates; the last run fails, and its energy counts like the others'."""
    outcomes = []
    for number, (rate, code) in enumerate(_RATES, start=1):
        stage.call(*_as_job(f"demo-experiment-{number}", "experiment", dataset="general", model=BASE, run_group="demo-rates"),
                   *_training(stage, "general", f"experiment-{number}", rate, _EXPERIMENT_S), expect=(code,))
        outcomes.append(f"rate {rate:g} {'failed, as it should' if code else 'ok'}")
    return ", ".join(outcomes)


def train(stage: Stage) -> str:
    """Train at the better rate; the script says itself which job it is and what it reached."""
    labels = {"job": "demo-train", "phase": "train", "model": BASE, "dataset": "general", **_LABELS}
    return _reached(stage.call(*_training(stage, "general", BASE, _RATES[0][0], _TRAIN_S, labels=json.dumps(labels))))


def finetune(stage: Stage) -> str:
    """Go on from the trained model with other data."""
    labels = {"job": "demo-finetune", "phase": "finetune", "model": TUNED, "base_model": BASE, "dataset": "service", **_LABELS}
    return _reached(stage.call(*_training(stage, "service", TUNED, _RATES[0][0] / 2, _TUNE_S, base=_weights(stage, BASE),
                                          labels=json.dumps(labels))))


def serve(stage: Stage) -> str:
    """Serve the tuned model on loopback and answer counted requests."""
    work = stage.folder.work
    ready = work / "port"
    service = stage.keep_running("service", [*_as_job(_SERVING_JOB, "inference", model=TUNED),
                                             *script("serve", model=_weights(stage, TUNED), ready=ready)])
    if not wait_until(ready.exists, service, _READY_S):
        raise StepError(f"the service did not come up within {_READY_S:g} s", stage.log)
    port = int(ready.read_text())
    before = call(port, "/counters")
    _record_serving(stage, before)
    stage.call(*script("ask", port=port, seconds=_SERVE_S, result=work / "asked.json"))
    after = call(port, "/counters")
    _record_serving(stage, after)
    stage.end("service")
    asked = stage.result("asked.json")
    if {name: after[name] for name in asked} != asked:
        raise StepError(f"the service counted {after}, who asked it {asked}", stage.log)
    return f"{asked['requests']:,} requests, {asked['tokens_in']:,} tokens in, {asked['tokens_out']:,} out"


def _as_job(job: str, phase: str, **labels: str) -> list[str]:
    return wattlake("job", "run", *options(job=job, phase=phase, **labels, **_LABELS), "--")


def _weights(stage: Stage, model: str) -> Path:
    return stage.folder.work / f"{model}.json"


def _training(stage: Stage, dataset: str, model: str, rate: float, seconds: float, **more: object) -> list[str]:
    text = stage.folder.work / "data" / f"{dataset}.txt"
    return script("train", data=text, model=_weights(stage, model), rate=rate, seconds=seconds, **more)


def _reached(said: str) -> str:
    found = re.findall(r"[\d,]+ characters learned from, [\d.]+ bits per character", said)
    return found[-1] if found else said.strip()


def _record_serving(stage: Stage, counters: dict[str, object]) -> None:
    stage.wattlake("record", "serving", *options(model=TUNED, job=_SERVING_JOB, node=NODE, site=SITE, **counters))
