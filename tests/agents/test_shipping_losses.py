"""What the shipper lost is told with its places, each once."""

from __future__ import annotations

from pathlib import Path

from wattlake_agents.shipping import Shipping
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.wreckage import Wreck
from wattlake_contracts.log_address import KafkaLog


def test_a_place_is_told_with_its_count_whichever_is_there_first(tmp_path: Path) -> None:
    shipping = Shipping(tmp_path, KafkaLog(("127.0.0.1:1",)), KafkaConfig())
    lanes = shipping._shipper._lanes
    lanes.damages.append(Wreck("a", 3, "kept as a"))
    assert shipping.losses() == [], "it is not counted yet"
    lanes.damaged += 3
    lanes.damages.append(Wreck("b", 2, "kept as b"))
    assert shipping.losses() == ["3 records of the spool could not be read, and were not sent: a (3), kept as a"]
    assert shipping.losses() == []
    lanes.damaged += 2
    lanes.damages.append(Wreck("c", 1, "kept as c"))
    lanes.damaged += 1
    assert shipping.losses() == ["3 records of the spool could not be read, and were not sent: b (2), kept as b; c (1), kept as c"]
    assert shipping.losses() == []
    shipping._shipper.close()
