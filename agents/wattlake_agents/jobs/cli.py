"""`wattlake job`: run, start, stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wattlake_agents.contract_options import contract_options
from wattlake_agents.jobs.place import NodeOption, folder, limit_bytes, place
from wattlake_contracts.config import Config, load
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kinds import JOBS, STATUSES
from wattlake_contracts.options import ConfigOption, LogOption, say

if TYPE_CHECKING:
    from wattlake_agents.jobs.listener import Listener

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tell the log which job runs: the energy of its devices is then its energy.\n\n"
         "Node and log are those of the agent that runs here, unless an option or the configuration says otherwise.\n\n"
         "Example: wattlake job run --model bert --phase train --team nlp -- python train.py",
)

_OWN = ("job", "node", "start_ms", "end_ms", "device", "status")
_TEXTS = {"share_ppm": "Its share of the device, above 0 and up to 1 [default: 1]."}
JobOption = Annotated[str | None, typer.Option(
    "--job", help="Its id, the same on every node [default: $WATTLAKE_JOB, else the scheduler's (Slurm, PBS, LSF, Flux), else the launcher's "
                  "(mpirun, torchrun), else a new one].", metavar="ID")]
DeviceOption = Annotated[list[str] | None, typer.Option(
    "--device", help="A device it holds, e.g. gpu0; may be given again [default: the whole node].", metavar="DEVICE")]
CommandArgument = Annotated[list[str], typer.Argument(help="The command and its arguments, after --.", metavar="CMD…")]
StatusOption = Annotated[str, typer.Option("--status", help=f"How it ended: {', '.join(STATUSES)}.", metavar="STATUS")]


@app.command(context_settings={"allow_interspersed_args": False})
@contract_options(JOBS, leave_out=_OWN, texts=_TEXTS)
def run(values: dict[str, Any], command: CommandArgument, job: JobOption = None, device: DeviceOption = None, node: NodeOption = None,
        config: ConfigOption = None, log: LogOption = None) -> None:
    """Run a command as a job: its start, a sign of life each minute, its end with its status.

    Signals are passed on to the command and its exit code is this one's (128 + n if signal n ended
    it). The command runs whatever becomes of its record: where the log cannot be written the agent of
    this node records the job, and if none runs, it does not read a --device, or it has another node
    or log than was told here, a warning says so.
    The ranks that one launcher starts on a node are one job, each may be run through this command.

    Example: wattlake job run --model bert --phase train --team nlp --device gpu0 -- python train.py
    """
    from wattlake_agents.jobs import row
    from wattlake_agents.jobs.child import Child
    from wattlake_agents.jobs.identity import job_id
    from wattlake_agents.jobs.listener import Listener
    from wattlake_agents.jobs.teller import Teller

    settings = load(config)
    told = place(settings, node, log)
    name, root = told.node, told.root
    _say_all(told.doubts)
    _name_user(settings, values, lenient=True)
    rows = row.opened(job_id(job), name, row.now_ms(), device or [], values)
    if (doubt := Listener(settings.agent, name).unread(device or [])) is not None:
        say(f"wattlake: {doubt}")
    teller = Teller(settings.agent, root, name, rows, lambda line: say(f"wattlake: {line}"), limit_bytes(settings, log))
    child = Child(command)
    teller.start()
    code = child.wait(row.RENEW_S, teller.renew)
    teller.end(row.status_of(code))
    sys.exit(code)


@app.command()
@contract_options(JOBS, leave_out=_OWN, texts=_TEXTS)
def start(values: dict[str, Any], job: JobOption = None, device: DeviceOption = None, node: NodeOption = None, config: ConfigOption = None,
          log: LogOption = None) -> None:
    """Say that a job begins, and print its id for `wattlake job stop`.

    The agent of this node keeps it open until it is stopped, or the machine restarts. Without an
    agent it ends three minutes after its start, and a warning says so.

    Example: id=$(wattlake job start --model bert --phase train); …; wattlake job stop $id
    """
    from wattlake_agents.jobs import row
    from wattlake_agents.jobs.identity import job_id
    from wattlake_agents.jobs.listener import Listener
    from wattlake_agents.jobs.registration import Registration, path_of, write
    from wattlake_agents.state import boot_id, make_state_dir, state_dir

    settings = load(config)
    told = place(settings, node, log)
    name, root = told.node, told.root
    identity = job_id(job)
    _name_user(settings, values, lenient=False)
    rows = row.opened(identity, name, row.now_ms(), device or [], values)
    registration = Registration(rows, boot_id(Path(settings.agent.proc_root)))
    state = state_dir(settings.agent)
    if not state.is_dir():
        make_state_dir(state)
    write(path_of(state, identity), registration, fresh=True)
    listener = Listener(settings.agent, name)
    _say_all([*told.doubts, *filter(None, (listener.unread(device or []), listener.unkept()))])
    # never too much: what an agent reads of a registration is less than what any log takes
    _announce(rows, root, limit_bytes(settings, log), listener)
    print(identity)


@app.command()
@contract_options(JOBS, leave_out=(*_OWN, "user", "share_ppm"))
def stop(values: dict[str, Any], job: Annotated[str, typer.Argument(help="The id that `wattlake job start` printed.", metavar="ID")],
         status: StatusOption = "ok", config: ConfigOption = None, log: LogOption = None) -> None:
    """Say that a job has ended, how, and what is known only now: tokens, examples, the quality reached.

    Example: wattlake job stop $id --status ok --tokens 300000000 --quality-metric accuracy --quality-value 0.91
    """
    from wattlake_agents.jobs import row
    from wattlake_agents.jobs.listener import Listener
    from wattlake_agents.jobs.registration import Registration, path_of, write
    from wattlake_agents.jobs.registration import load as load_registration
    from wattlake_agents.state import state_dir

    if status not in STATUSES:
        raise UsageError(f"{status!r} is not one of {', '.join(STATUSES)}", subject="--status")
    settings = load(config)
    path = path_of(state_dir(settings.agent), job)
    registration = load_registration(path)
    if registration is None or registration.ended or not registration.rows:
        raise UsageError("is not running here", subject=job, next_step="give the id that `wattlake job start` printed on this node")
    root, doubt = folder(settings, log)
    _say_all([doubt] if doubt else [])
    rows = row.ended(registration.rows, status, values)
    if _announce(rows, root, limit_bytes(settings, log), Listener(settings.agent, str(rows[0]["node"]))):
        path.unlink(missing_ok=True)
    else:
        write(path, Registration(rows, registration.boot_id, ended=True))


def _say_all(doubts: list[str]) -> None:
    for doubt in doubts:
        say(f"wattlake: {doubt}")


def _announce(rows: list[dict[str, object]], root: Path, most_bytes: int, listener: Listener) -> bool:
    """Write rows to the log, or say what becomes of them: word of them lies with the agent. Whether they are written.

    most_bytes: of a record of the log. TooMuchTextError if one of them is more: the agent could not write it either.
    """
    from wattlake_agents.jobs.announcer import Announcer, TooMuchTextError

    try:
        Announcer(root, str(rows[0]["node"]), limit_bytes=most_bytes).write("jobs", rows)
    except TooMuchTextError:
        raise
    except WattlakeError as error:
        say(f"wattlake: {error.subject}: {error.what}; {listener.unheard(root) or 'the agent records it within a minute'}")
        return False
    return True


def _name_user(settings: Config, values: dict[str, Any], *, lenient: bool) -> None:
    """Put the user's name, hashed where configured, into the columns. Lenient: leave it out where the key cannot be used."""
    from wattlake_agents.jobs.pseudonym import user_name

    try:
        values["user"] = user_name(settings.agent, values.get("user"))
    except WattlakeError as error:
        if not lenient:
            raise
        values.pop("user", None)
        say(f"wattlake: {error}\n  the job is recorded without its user")
