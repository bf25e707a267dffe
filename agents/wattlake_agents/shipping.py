"""The agent's thread that ships the spool to Kafka."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from wattlake_contracts.amount import amount
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kafkalog.producer import Producer
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.kafkalog.standing import ShippingState
from wattlake_contracts.kafkalog.unknown import UNKNOWN
from wattlake_contracts.kafkalog.wreckage import Wreck
from wattlake_contracts.log_address import KafkaLog

#: What stopping may take: the agent is to be gone within five seconds.
_STOP_S = 4.5
#: For each step of finding out why no broker lets this agent in.
_PROBE_S = 3.0


class Shipping:
    """Ships a spool beside the agent's own work. max_bytes: see Shipper. WattlakeError if another process ships it."""

    def __init__(self, root: Path, log: KafkaLog, config: KafkaConfig, max_bytes: int | None = None) -> None:
        self._shipper = Shipper(root, log, config, make=producer, amiss=partial(amiss, log, config), max_bytes=max_bytes)
        self._thread = threading.Thread(target=self._shipper.run, name="ship", daemon=True)
        self._told_damaged = self._told_unknown = 0
        # those of an earlier agent, which has told of them
        self._told_refused = self._shipper.refused

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after a little time for what is on its way; what is not acknowledged then is sent by the next agent."""
        self._shipper.stop.set()
        self._shipper.wake.set()
        self._thread.join(_STOP_S)

    def wake(self) -> None:
        """There is something new in the spool."""
        self._shipper.wake.set()

    @property
    def error(self) -> str:
        """Why nothing can be shipped, or which topics take nothing; '' if all can be."""
        return self._shipper.trouble

    @property
    def lost(self) -> int:
        """Records that the spool gave up, being full, before Kafka had them."""
        return self._shipper.lost

    def state(self) -> ShippingState:
        """How it does now."""
        return self._shipper.state

    def losses(self) -> list[str]:
        """What has been lost or set aside since this was last asked, in words for an event."""
        shipper, found = self._shipper, []
        # it counts on meanwhile
        damaged, refused, unknown = shipper.damaged, shipper.refused, shipper.set_aside
        if damaged > self._told_damaged:
            told: list[Wreck] = []
            # what is there beyond that is not counted yet, and is told with its count
            while shipper.damages and sum(wreck.records for wreck in told) < damaged - self._told_damaged:
                told.append(shipper.damages.popleft())
            places = "; ".join(f"{wreck.place} ({wreck.records}), {wreck.kept}" for wreck in told)
            count = damaged - self._told_damaged
            found.append(f"{amount(count, 'record')} of the spool could not be read, and {'was' if count == 1 else 'were'} not sent: {places}")
        if refused > self._told_refused:
            found.append(f"{amount(refused - self._told_refused, 'record', 'were')} {shipper.refusal}")
        if unknown > self._told_unknown:
            found.append(f"{amount(unknown - self._told_unknown, 'record', 'are')} of kinds that this version does not know, "
                         f"waiting in {shipper.root / UNKNOWN} for one that does")
        self._told_damaged, self._told_refused, self._told_unknown = damaged, refused, unknown
        return found


def producer(log: KafkaLog, config: KafkaConfig) -> Producer:
    """A Producer. Where there can be none it says which step fails: kafka-python reports a timeout, whatever it was."""
    try:
        return Producer(log, config)
    except UsageError:
        raise
    except Exception as error:
        if why := amiss(log, config):
            raise WattlakeError(why) from error
        raise


def amiss(log: KafkaLog, config: KafkaConfig) -> str:
    """The first step of connecting that fails, in words; '' if none does."""
    from wattlake_agents.doctor.broker import BrokerProbe
    from wattlake_agents.doctor.finding import FAILED

    try:
        probe = BrokerProbe(config, connection(log, config), _PROBE_S)
    except UsageError as error:  # a file that has gone
        return str(error).splitlines()[0]
    own = [found for found in probe.own() if found.state == FAILED]
    found = own or [step for server in log.servers for step in probe.probe(server) if step.state == FAILED]
    # one that is down tells less than one that answers and does not let in
    told = next((step for step in found if step.probe not in ("name", "tcp")), found[0] if found else None)
    return f"{told.probe} of {told.subject}: {told.detail}" if told else ""
