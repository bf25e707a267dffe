"""`wattlake log`: init, grant, revoke, key, status, tail, dump."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from wattlake_contracts.amount import amount
from wattlake_contracts.config import Config, load
from wattlake_contracts.errors import FAILED, INCOMPLETE, UsageError, WattlakeError
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import FileLog, KafkaLog, log_address, spool_root
from wattlake_contracts.options import ConfigOption, FormatOption, LogOption, check_format, emit, say

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make a log's topics on Kafka, see how a log stands and what is on it.\n\n"
         "`status`, `tail` and `dump` read logs in a folder too.",
)

#: Of so many partitions it is told where they end, to who asks for what is after that.
_ENDS_TOLD = 12
_INIT_COLUMNS = ("topic", "state", "partitions", "replication", "retention_days", "max_message_bytes", "min_insync", "timestamp_type", "compression", "cleanup",
                 "differs", "problem")
_INIT_SHOWN = ("topic", "state", "partitions", "replication", "retention_days", "max_message_bytes", "min_insync")


def _kafka(config: Config, log: str | None, what: str) -> KafkaLog:
    """The address of a log on Kafka. UsageError for a log in a folder."""
    address = log_address(config, log)
    if isinstance(address, FileLog):
        raise UsageError(what, subject=str(address), next_step="give --log kafka:HOST:PORT")
    return address


@app.command()
def init(config: ConfigOption = None, log: LogOption = None,
         partitions: Annotated[int | None, typer.Option("--partitions", min=1, max=10_000, help="Partitions of each topic.  [default: 6]",
                                                        show_default=False)] = None,
         replication: Annotated[int | None, typer.Option("--replication", min=1, max=100, show_default=False,
                                                         help="Brokers that each partition is on.  [default: 3, or all where there are fewer]")] = None,
         retention: Annotated[float | None, typer.Option("--retention", help="Days that records stay, -1 for ever; `reference` and `nodes` always stay.  "
                                                                             "[default: 7]", metavar="DAYS", show_default=False)] = None,
         alter: Annotated[bool, typer.Option("--alter", help="Change topics that are there: their settings, and more partitions.")] = False,
         dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and change nothing.")] = False,
         form: FormatOption = "table") -> None:
    """Make the topics of a log on Kafka, and check those that are there.

    Nothing that is there is changed without --alter, a topic never gets fewer partitions, and none
    is moved to other brokers. Without an option, its default is the least that a topic that is there
    must have; more is as good. The topics take the broker's time for a record and no record larger
    than kafka.max_record_bytes and its envelope; with three copies, a record is acknowledged when
    two brokers have it.

    Exit code 0 if all topics are as wanted, 1 if one could not be made, 4 if one is missing,
    differs, or is `not known`: this principal may not read its settings.

    Example: wattlake log init --log kafka:broker-1:9092 --partitions 12 --retention 14
    """
    check_format(form)
    settings = load(config)
    address = _kafka(settings, log, "is a log in a folder, and needs no topics: its writers make what they need")
    if retention is not None and not (retention == -1 or 0.04 <= retention <= 36_500):
        raise UsageError(f"{retention:g} days make no sense", subject="--retention", next_step="give 0.04 (an hour) to 36500, or -1 for ever")

    from wattlake_agents.log.brokers import brokers
    from wattlake_agents.log.making import DIFFERS, MISSING, NOT_KNOWN, make
    from wattlake_agents.log.making import FAILED as NOT_MADE
    from wattlake_agents.log.topic_set import Asked

    with brokers(address, settings.kafka) as cluster:
        found = make(cluster, settings.kafka, Asked(partitions, replication, retention), alter=alter, dry_run=dry_run)
    rows = [_init_row(f, form) for f in found]
    emit(_INIT_COLUMNS if form != "table" else _INIT_SHOWN, rows if form != "table" else [_for_people(row[: len(_INIT_SHOWN)]) for row in rows], form)
    for f in found:
        for difference in f.differences:
            say(f"{f.wanted.name}: {difference}")
        if f.problem:
            say(f"{f.wanted.name}: {f.problem}")
    if any(f.state == MISSING for f in found):
        say("nothing was made; without --dry-run the missing topics are")
    if any(d for f in found for d in f.differences if not d.fixed) and not (alter and not dry_run):
        say("nothing that is there was changed; with --alter it is")
    if any(f.state == NOT_MADE for f in found):
        raise typer.Exit(FAILED)
    if any(f.state in (MISSING, DIFFERS, NOT_KNOWN) for f in found):
        raise typer.Exit(INCOMPLETE)


def _for_people(row: tuple[object, ...]) -> tuple[object, ...]:
    """For ever in words; it is the only -1 in these tables."""
    return tuple("for ever" if value == -1 else f"{value:g}" if isinstance(value, float) else value for value in row)


def _init_row(found: Any, form: str) -> tuple[object, ...]:
    from wattlake_agents.log.topic_set import CLEANUP, COMPRESSION, IN_SYNC, RETENTION, SIZE, TIMESTAMP, days

    # what is there, or what would be
    has = found.settings if found.there else found.wanted.settings
    partitions = len(found.there.partitions) if found.there else found.wanted.partitions
    replication = found.there.replication if found.there else found.wanted.replication
    size, needed = has.get(SIZE), has.get(IN_SYNC)
    differs = [{"name": d.name, "there": d.there, "wanted": d.wanted, **({"fixed": d.fixed} if d.fixed else {})} for d in found.differences]
    return (found.wanted.name, found.state, partitions, replication, days(has.get(RETENTION)), int(size) if size else None, int(needed) if needed else None,
            has.get(TIMESTAMP), has.get(COMPRESSION), has.get(CLEANUP),
            differs if form == "json" else "; ".join(map(str, found.differences)), found.problem or None)


TopicsOption = Annotated[list[str] | None, typer.Option("--topic", metavar="TOPIC", show_default=False,
                                                        help=f"Only this topic, and again for more: {', '.join(TOPICS)}.  [default: all]")]


def _topic(told: str, config: Config) -> str:
    """A topic's name without the prefix. UsageError if there is no such topic."""
    name = told.removeprefix(config.kafka.prefix)
    if name not in TOPICS:
        raise UsageError(f"{told!r} is no topic", subject="--topic", next_step=f"one of {', '.join(TOPICS)}")
    return name


def _topics(told: list[str] | None, config: Config) -> tuple[str, ...]:
    """The topics that are named, each once, or all where none is."""
    return tuple(dict.fromkeys(_topic(one, config) for one in told)) if told else TOPICS


@app.command()
def grant(principal: Annotated[str, typer.Argument(help="A SCRAM user's name, or a principal as Kafka writes it, e.g. 'User:CN=node-1'.", metavar="PRINCIPAL")],
          may: Annotated[str, typer.Option("--may", help="write: what an agent needs; read: what the pipelines need.", metavar="WHAT")],
          password_file: Annotated[str | None, typer.Option("--password-file", metavar="FILE", show_default=False,
                                                            help="Make the SCRAM user, or change its password, to the first line of this file.")] = None,
          topic: TopicsOption = None, config: ConfigOption = None, log: LogOption = None,
          dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be granted, and change nothing.")] = False,
          form: FormatOption = "table") -> None:
    """Let a principal write to the topics of a log on Kafka, or read them, and nothing else.

    Needs a principal that may alter ACLs, and an authoriser on the brokers. What the principal may
    already do it may still do. A password comes from a file only, and leaves this machine as the keys
    that it is checked with. '*' is everybody whom the brokers let in.

    Example: wattlake log grant agent --may write --password-file agent.password
    """
    from wattlake_agents.log import grants

    check_format(form)
    if may not in grants.RIGHTS:
        raise typer.BadParameter(f"{may!r} is not one of {', '.join(grants.RIGHTS)}", param_hint="--may")
    if not principal.strip() or principal.endswith(":"):
        raise typer.BadParameter("is empty: whom is it for?", param_hint="PRINCIPAL")
    settings = load(config)
    topics = _topics(topic, settings)
    address = _kafka(settings, log, "is a log in a folder: who may use it is a matter of the folder's owner and mode")
    everybody = grants.principal_of(principal) == grants.EVERYBODY
    mechanism = settings.kafka.sasl_mechanism
    if password_file and not mechanism.startswith("SCRAM"):
        raise UsageError(f"the brokers keep no passwords for {mechanism}", subject="--password-file", next_step="set kafka.sasl_mechanism to SCRAM-SHA-512")
    if password_file and everybody:
        raise UsageError("stands for everybody, who can have no password", subject=principal, next_step="give a user's name, or leave --password-file out")
    if password_file and ":" in principal:
        raise UsageError("only a bare name can have a password", subject=principal, next_step="leave User: out, or --password-file")

    from wattlake_agents.log.brokers import brokers
    from wattlake_contracts.kafkalog.security import secret

    password = secret(Path(password_file), "--password-file") if password_file else None
    if everybody:
        say(f"{grants.EVERYBODY} is not one user but everybody: whoever the brokers let in may then {may}, and on a listener that asks for no name "
            "that is anybody at all; `wattlake log revoke '*'` takes it back")
    with brokers(address, settings.kafka) as cluster:
        if password is not None and not dry_run and (problem := cluster.set_password(principal, mechanism, password)):
            raise WattlakeError(f"its password cannot be set: {problem}", subject=principal,
                                next_step="use a principal that may alter users (ALTER on the cluster)")
        rows, why = grants.refusals(grants.grant(cluster, settings.kafka, principal, may, topics, dry_run=dry_run), ("granted", "would be granted"))
        by_password = settings.kafka.security_protocol == "SASL_SSL" and mechanism.startswith("SCRAM") and password is None and not why
        user = grants.user_of(principal) if by_password else None
        nobody = user is not None and cluster.has_password(user) is False
    emit(grants.COLUMNS, rows, form)
    if password is not None and not dry_run:
        say(f"the password of {principal} is set, for {mechanism}")
    if nobody:
        say(f"nobody can log in as {user} yet: the brokers keep no password of such a user; --password-file sets one")
    if why:
        say(f"not all was granted ({'; '.join(why)}): it needs a principal that may alter ACLs (ALTER on the cluster), and brokers with an authoriser")
        raise typer.Exit(FAILED)


@app.command()
def revoke(principal: Annotated[str, typer.Argument(help="As it was given to `grant`.", metavar="PRINCIPAL")],
           may: Annotated[str | None, typer.Option("--may", metavar="WHAT", show_default=False,
                                                   help="write or read: only this; that it may see the topics stays.  [default: all]")] = None,
           topic: TopicsOption = None, config: ConfigOption = None, log: LogOption = None,
           dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be revoked, and change nothing.")] = False,
           form: FormatOption = "table") -> None:
    """Take back what `wattlake log grant` gave a principal on the topics of a log on Kafka.

    The brokers obey at once, also where it is connected already. What others granted by patterns or
    from certain hosts only is not touched, nor is a password. What an agent has written down waits in
    its spool until it may write again.

    Example: wattlake log revoke agent --may write
    """
    from wattlake_agents.log import grants

    check_format(form)
    if may is not None and may not in grants.RIGHTS:
        raise typer.BadParameter(f"{may!r} is not one of {', '.join(grants.RIGHTS)}", param_hint="--may")
    settings = load(config)
    topics = _topics(topic, settings)
    address = _kafka(settings, log, "is a log in a folder: who may use it is a matter of the folder's owner and mode")

    from wattlake_agents.log.brokers import brokers

    with brokers(address, settings.kafka) as cluster:
        rows, why = grants.refusals(grants.revoke(cluster, settings.kafka, principal, may, topics, dry_run=dry_run),
                                    ("revoked", "was not granted", "would be revoked"))
    emit(grants.COLUMNS, rows, form)
    states = {state for *_, state in rows}
    if states == {"was not granted"}:
        say(f"nothing was granted to {grants.principal_of(principal)} by its name on these topics: see that it is written as it was to `wattlake log grant`")
    if why:
        say(f"not all was revoked ({'; '.join(why)}): it needs a principal that may alter ACLs (ALTER on the cluster), and brokers with an authoriser")
        raise typer.Exit(FAILED)


@app.command()
def key(file: Annotated[Path, typer.Argument(help="Where the private key is, or is to be: PEM, for its owner alone.", metavar="FILE", show_default=False)],
        public: Annotated[bool, typer.Option("--public", help="Make nothing: print the public key of the key that is there.")] = False) -> None:
    """Make a key that a node signs its records with, and print its public key.

    The file goes into kafka.signing_key_file of the node, and never elsewhere; the public key into
    the lake, by `wattlake lake key add`, from when on landing takes from that node only what is
    signed with it. An agent takes up another key when its file changes.

    Example: wattlake log key signing.pem
    """
    from wattlake_contracts.kafkalog.signing import Signer, make_key, public_text, read_key

    print(public_text(Signer(read_key(file, "the key")).public) if public else make_key(file))


@app.command()
def status(config: ConfigOption = None, log: LogOption = None,
           by_partition: Annotated[bool, typer.Option("--by-partition", help="A row for each partition of each topic, with its offsets.")] = False,
           form: FormatOption = "table") -> None:
    """Say how a log stands: what it holds, how long it keeps it, and what is not well.

    On Kafka: each topic with its partitions, those that are on too few brokers, and the records that
    it holds. In a folder: each partition with its offsets and bytes, and in an agent's spool the
    records that are not on Kafka yet. Exit code 1 if there is no topic, 4 if one is missing or not
    well.

    Example: wattlake log status --by-partition --format csv
    """
    check_format(form)
    settings = load(config)
    address = log_address(settings, log)
    from wattlake_agents.log import standing

    if isinstance(address, FileLog):
        emit(standing.FILE_COLUMNS, standing.file_rows(address.root), form)
        return
    from wattlake_agents.log.brokers import brokers

    with brokers(address, settings.kafka) as cluster:
        found = standing.Standing(cluster, settings.kafka.prefix)
    if by_partition:
        emit(standing.PARTITION_COLUMNS, found.by_partition, form)
    else:
        known = [row if row[0] not in found.unread else (*row[:-1], "not known") for row in found.rows]
        emit(standing.TOPIC_COLUMNS, found.rows if form != "table" else map(_for_people, known), form)
        if found.unread:
            say(f"how long {amount(len(found.unread), 'topic')} {'keeps' if len(found.unread) == 1 else 'keep'} records is not known: "
                "this principal may not read their settings (DESCRIBE_CONFIGS), and nothing but this table needs it to")
    spool = spool_root(settings, log)
    if spool.is_dir():
        waiting, size = standing.spool_backlog(spool)
        say(f"the spool in {spool} holds {amount(waiting, 'record')} not on Kafka yet ({amount(size, 'byte')} with those that are)")
    if not found.any:
        say(f"there are no topics {settings.kafka.prefix}*: make them with `wattlake log init`")
        raise typer.Exit(FAILED)
    for line in found.amiss:
        say(line)
    if found.amiss:
        raise typer.Exit(INCOMPLETE)


TopicOption = Annotated[str | None, typer.Option("--topic", help=f"Only this topic: {', '.join(TOPICS)}.", metavar="TOPIC")]
PartitionOption = Annotated[str | None, typer.Option("--partition", help="Only this partition: a name in a folder, a number on Kafka.", metavar="PARTITION")]
RowsOption = Annotated[int, typer.Option("--rows", min=0, help="Rows shown of each record.")]
LinesOption = Annotated[str, typer.Option("--format", help="table: for people; json: an object a line.", metavar="FORMAT")]


@app.command()
def tail(config: ConfigOption = None, log: LogOption = None, topic: TopicOption = None,
         count: Annotated[int, typer.Option("-n", "--records", min=0, max=100_000, help="How many of the last records.")] = 10,
         follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is written from now on, until Ctrl-C.")] = False,
         rows: RowsOption = 2, form: LinesOption = "table") -> None:
    """Show the last records of a log: when, where, what and its first rows.

    On Kafka the last ones by the brokers' time, in a folder by the records' own. What cannot be read
    is shown with the reason. Reads nothing away: landing goes on where it was.

    Example: wattlake log tail --topic jobs -n 5 --follow
    """
    with _entries(load(config), log, topic, None, rows, form) as source:
        for entry in source.last(count):
            _show(entry, form)
        if not follow:
            return
        for entry in source.coming():
            if entry is None:
                # who reads a pipe is to have it at once, and who has closed it is noticed
                sys.stdout.flush()
            else:
                _show(entry, form)


@app.command()
def dump(config: ConfigOption = None, log: LogOption = None, topic: TopicOption = None, partition: PartitionOption = None,
         start: Annotated[int | None, typer.Option("--from", min=0, help="From this offset on, of each partition.", metavar="OFFSET")] = None,
         count: Annotated[int | None, typer.Option("-n", "--records", min=1, help="At most so many records.  [default: all]", show_default=False)] = None,
         rows: RowsOption = 2, form: LinesOption = "table") -> None:
    """Show the records of a log in their order, partition by partition.

    What comes while it runs is not shown. What cannot be read is shown with the reason.

    Example: wattlake log dump --topic readings --partition 0 --from 120 --format json | head
    """
    with _entries(load(config), log, topic, partition, rows, form) as source:
        i = 0
        for i, entry in enumerate(source.all(start), 1):
            _show(entry, form)
            if i == count:
                break
        if start is not None and not i:
            ends = source.ends()
            told = "; ".join(f"{place} ends at {end}" for place, end in list(ends.items())[:_ENDS_TOLD])
            say(f"nothing is there from offset {start} on: {told}{'; …' if len(ends) > _ENDS_TOLD else ''}")


def _show(entry: Any, form: str) -> None:
    print(entry.line() if form == "json" else entry.text())


@contextmanager
def _entries(config: Config, log: str | None, topic: str | None, partition: str | None, rows: int, form: str) -> Iterator[Any]:
    """What gives the records. UsageError for a topic or a partition that there is not."""
    if form not in ("table", "json"):
        raise typer.BadParameter(f"{form!r} is not one of table, json", param_hint="--format")
    name = _topic(topic, config) if topic else None
    address = log_address(config, log)
    with ExitStack() as opened:
        source: Any
        if isinstance(address, FileLog):
            from wattlake_agents.log.file_entries import FileEntries

            source = FileEntries(address.root, name, partition, rows)
        else:
            if partition is not None and not (partition.isascii() and partition.isdigit()):
                raise UsageError(f"{partition!r} is no partition of a topic", subject="--partition", next_step="on Kafka they are numbered from 0")
            from wattlake_agents.log.brokers import brokers, told
            from wattlake_agents.log.kafka_entries import KafkaEntries

            cluster = opened.enter_context(brokers(address, config.kafka))
            opened.enter_context(told(address))
            source = KafkaEntries(cluster, address, config.kafka, name, int(partition) if partition is not None else None, rows)
        opened.callback(source.close)
        yield source
