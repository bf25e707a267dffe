"""Topics that an agent may not write to, or that are not there: only their records wait, whatever dies meanwhile, and go once they can."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from kafka.admin import ACLOperation, ScramMechanism, UserScramCredentialUpsertion

from at_work import WATTLAKE, Agent, until
from guarded import Guarded
from rights import grant

#: Within so many seconds of the grant, or of the topic: what waits is asked for that often.
GOES_S = 30.0
#: What an agent needs.
WRITE = (ACLOperation.WRITE, ACLOperation.DESCRIBE)


def waits(agent: Agent, *topics: str) -> bool:
    """Whether the agent says that records wait for these topics, and only for these."""
    held = agent.beat()["shipping"]["held"]
    return {one["topic"] for one in held} == set(topics) and all(one["records"] > 0 for one in held)


@pytest.mark.slow
def test_one_topic_is_written_and_the_others_wait_for_a_grant_and_for_log_init(guarded: Guarded, topic_prefix: str, world: Callable[..., Any]) -> None:
    topics, user, nodes, jobs = guarded.topics(topic_prefix), topic_prefix + "agent", topic_prefix + "nodes", topic_prefix + "jobs"
    with topics.admin() as admin:
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, b"word")])
    topics.delete("jobs")
    grant(topics, user, WRITE, ["readings", "jobs"])
    here = world(topics, guarded.user())
    agent = here.agent(environment=guarded.user(user, "word"))
    here.follow()

    def wattlake(*arguments: str, environment: dict[str, str]) -> str:
        """What it prints, and what it says."""
        return subprocess.run([WATTLAKE, *arguments], env=environment, cwd=here.folder, capture_output=True, text=True, timeout=120).stdout

    wattlake("job", "run", "--job", "j1", "--", "true", environment=agent.environment)
    until(lambda: waits(agent, nodes, jobs), "a job's records wait, and the agent's own")
    assert here.alive() < GOES_S
    agent.kill()
    agent.start()
    until(lambda: waits(agent, nodes, jobs), "they wait on")
    assert here.alive() < GOES_S, "and the readings flow"
    until(lambda: "makes topics" in agent.status()[1] and "--may write" in agent.status()[1], "and says anew why", GOES_S)
    shown, complaint = agent.status()
    assert shown["state"] == "unhealthy"
    assert (shown["shipping"], shown["rows_lost"], shown["records_lost"]) == ("holds back", 0, 0)
    assert 0 < shown["records_held"] <= shown["backlog_records"]
    assert re.search(rf"records? waits? for {re.escape(nodes)}, and only th", complaint)
    assert "`wattlake log grant NAME --may write` does" in complaint
    assert re.search(rf"records? waits? for {re.escape(jobs)}, and only th", complaint)
    assert "`wattlake log init` makes topics" in complaint
    assert f'wattlake_ship_held_records{{node="n1",topic="{nodes}"}} ' in agent.metrics()
    assert 'wattlake_agent_unhealthy{cause="holds_back",node="n1"} 1.0' in agent.metrics()

    wattlake("log", "init", "--log", topics.log.address, environment={**os.environ, "HOME": str(here.folder), **here.environment})
    until(lambda: waits(agent, nodes), "the job's records go by themselves", GOES_S)
    grant(topics, user, WRITE, ["nodes"])
    until(lambda: not agent.beat()["shipping"]["held"], "and so do the others", GOES_S)
    agent.kill()
    agent.start()
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "and the agent is healthy")
    here.settle()
