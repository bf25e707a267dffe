"""The agent's page for Prometheus, on the loopback interface unless told otherwise."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from wattlake_agents import process
from wattlake_agents.health import CAUSES, ailments, asked_ms
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kafkalog.standing import ShippingState

if TYPE_CHECKING:
    from wattlake_agents.agent import Agent

_DEVICE = ("node", "device", "device_kind", "method", "parent")


class AgentCollector:
    """Makes the metrics when they are asked for, so that a reading costs nothing more."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Any]:
        """The metric families of one scrape."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        agent, node = self._agent, self._agent.node
        energy = CounterMetricFamily(
            "wattlake_device_energy_joules", "Energy of a device. One with a parent lies within it: never add the two.", labels=_DEVICE)
        power = GaugeMetricFamily("wattlake_device_power_watts", "Mean power between the last two readings.", labels=_DEVICE)
        errors = CounterMetricFamily("wattlake_read_failures", "Failed readings: gaps.", labels=("node", "reader"))
        readings = CounterMetricFamily("wattlake_readings", "Readings taken.", labels=("node", "reader"))
        left_out = CounterMetricFamily("wattlake_readings_left_out", "Readings out of line with those around them: gaps.", labels=("node", "reader"))
        hung = GaugeMetricFamily("wattlake_reader_hung", "1 while a reader does not answer.", labels=("node", "reader"))
        for reader in agent.readers:
            for channel in tuple(reader.channels.values()):
                d = channel.device
                labels = (node, d.name, d.kind, d.method, d.parent or "")
                if channel.last_ts_ms and not channel.lost:
                    energy.add_metric(labels, channel.shown_uj / 1e6)
                    if channel.power_mw is not None:
                        power.add_metric(labels, channel.power_mw / 1000)
            errors.add_metric((node, reader.sensor.name), reader.failures)
            readings.add_metric((node, reader.sensor.name), reader.readings)
            left_out.add_metric((node, reader.sensor.name), reader.left_out)
            hung.add_metric((node, reader.sensor.name), int(reader.hung))
        yield from (energy, power, errors, readings, left_out, hung)
        beat = agent.heartbeat()
        # as the loop has last beaten, not as this page is asked for: a loop that hangs must show here
        last = agent.last_beat or beat
        ill = {ailment.cause for ailment in ailments(last, asked_ms(last))}
        unhealthy = GaugeMetricFamily("wattlake_agent_unhealthy", "1 while this is wrong with the agent: `wattlake agent status` says more.",
                                      labels=("node", "cause"))
        for cause in CAUSES[1:]:  # one that does not run shows no page
            unhealthy.add_metric((node, cause), int(cause in ill))
        yield unhealthy
        for name, text, value in (
            ("wattlake_agent_cpu_seconds", "CPU time of the agent itself.", process.cpu_s()),
            ("wattlake_agent_records_written", "Records accepted by the log.", beat.records),
            ("wattlake_agent_records_lost", "Records deleted from the log because it was full.", beat.lost_records),
            ("wattlake_agent_rows_lost", "Rows given up because the log could not be written.", beat.lost_rows),
        ):
            family = CounterMetricFamily(name, text, labels=("node",))
            family.add_metric((node,), value)
            yield family
        if beat.shipping is not None:
            yield from _shipping(node, beat.shipping, beat.beat_ms)
        for name, text, value in (
            ("wattlake_agent_resident_bytes", "Memory of the agent itself.", process.rss_bytes()),
            ("wattlake_agent_records_waiting", "Records that wait for the disk.", beat.pending_records),
            ("wattlake_agent_last_write_timestamp_seconds", "When the log last accepted records.", beat.last_sync_ms / 1000),
            ("wattlake_agent_last_reading_timestamp_seconds", "When a device was last read.", beat.last_reading_ms / 1000),
        ):
            gauge = GaugeMetricFamily(name, text, labels=("node",))
            gauge.add_metric((node,), value)
            yield gauge


def _shipping(node: str, shipping: ShippingState, now_ms: int) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for family, name, text, value in (
        (GaugeMetricFamily, "wattlake_ship_backlog_records", "Records written down and not acknowledged by the brokers.", shipping.backlog_records),
        (GaugeMetricFamily, "wattlake_ship_backlog_bytes", "About how many bytes they are.", shipping.backlog_bytes),
        (GaugeMetricFamily, "wattlake_ship_oldest_unacked_seconds", "Age of the oldest of them, 0 if there is none.",
         max(0, now_ms - shipping.oldest_unacked_ms) / 1000 if shipping.oldest_unacked_ms else 0),
        (GaugeMetricFamily, "wattlake_ship_unknown_records", "Records that wait for a version that knows their kind.", shipping.unknown_records),
        (GaugeMetricFamily, "wattlake_ship_last_ack_timestamp_seconds", "When the brokers last acknowledged a record.", shipping.last_ack_ms / 1000),
        (CounterMetricFamily, "wattlake_ship_acknowledged_records", "Records acknowledged by the brokers.", shipping.acked_records),
        (CounterMetricFamily, "wattlake_ship_refused_records", "Records that no topic takes, set aside.", shipping.refused_records),
        (CounterMetricFamily, "wattlake_ship_damaged_records", "Records of the spool that could not be read.", shipping.damaged_records),
        (CounterMetricFamily, "wattlake_ship_rebuilt", "Times that the connection was made anew.", shipping.rebuilt),
    ):
        found = family(name, text, labels=("node",))
        found.add_metric((node,), value)
        yield found
    held = GaugeMetricFamily("wattlake_ship_held_records", "Records that wait for a topic that takes none, while the others flow.", labels=("node", "topic"))
    for one in shipping.held:
        held.add_metric((node, one.topic), one.records)
    yield held


def serve(agent: Agent, address: str) -> Callable[[], None]:
    """Show the metrics at HOST:PORT until the returned function is called.

    UsageError if the address makes no sense, WattlakeError if it is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):
        raise UsageError(f"{address!r} is no address", subject="agent.metrics", next_step="write HOST:PORT, or nothing for no metrics")
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    try:
        server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program has this address, such as an agent with another state folder" if taken else error.strerror or str(error)
        raise WattlakeError(f"cannot show the metrics: {why}", subject=address,
                            next_step="set agent.metrics (WATTLAKE_AGENT_METRICS) to another HOST:PORT or nothing") from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1)

    return close
