"""The demo from its first to its last step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from wattlake_agents.demo import accounting, life_cycle
from wattlake_agents.demo.stage import Stage, StepError
from wattlake_contracts.errors import WattlakeError


@dataclass(frozen=True)
class Step:
    """name: of its log. title: what it does, for the user. work: does it, and says in a few words what came out."""

    name: str
    title: str
    work: Callable[[Stage], str]


STEPS = (
    Step("look", "look at what this machine can measure", accounting.look),
    Step("site", "say where it stands", accounting.place),
    Step("agent", "start the agent", accounting.begin),
    Step("data", "prepare data and move it", life_cycle.data),
    Step("experiments", "try three learning rates", life_cycle.experiments),
    Step("train", "train a model", life_cycle.train),
    Step("finetune", "fine-tune it", life_cycle.finetune),
    Step("serve", "serve it", life_cycle.serve),
    Step("stop", "stop the agent", accounting.finish),
    Step("run", "land the log and account for it", accounting.run),
    Step("check", "check the books", accounting.check),
    Step("report", "write the report", accounting.report),
)


def carry_out(stage: Stage, steps: tuple[Step, ...] = STEPS) -> None:
    """Do the steps in order, a line on stderr for each. WattlakeError names the one that failed; nothing is left running."""
    began = time.monotonic()
    try:
        for number, step in enumerate(steps, start=1):
            stage.log = stage.folder.logs / f"{number:02}-{step.name}.log"
            stage.log.touch()
            print(f"[{number:>2}/{len(steps)}] {step.title:<38}", end="", file=sys.stderr, flush=True)
            at = time.monotonic()
            try:
                came_out = step.work(stage)
            except StepError as error:
                print(" failed", file=sys.stderr)
                raise WattlakeError(f"step {number} of {len(steps)}, {step.title}: {error.what}", next_step=error.next_step) from error
            except BaseException:
                print(" stopped", file=sys.stderr)
                raise
            print(f"{time.monotonic() - at:5.1f} s  {came_out}", file=sys.stderr, flush=True)
    finally:
        stage.end_all()
    print(f"done in {time.monotonic() - began:.0f} s", file=sys.stderr)
