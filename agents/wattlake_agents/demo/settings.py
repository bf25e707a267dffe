"""The configuration that a demo writes, and the environment in which its processes see it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from wattlake_agents.demo.folder import Folder

#: Not the host's name: a report made by a demo may be shown to others.
NODE = "this-machine"
SITE = "demo-site"
STORE = "demo-store"


def settings(folder: Folder, organisation: str) -> dict[str, dict[str, object]]:
    """Keys and values by section; '' holds the keys before the first one."""
    return {
        "": {"log": f"file:{folder.log}", "lake": str(folder.lake)},
        # readings twice a second and writes every two: a life cycle of a minute has few of either
        "agent": {"node": NODE, "site": SITE, "interval_s": 0.5, "flush_s": 2.0, "metrics": "", "state_dir": str(folder.state)},
        "report": {"organisation": organisation},
    }


def toml(table: Mapping[str, Mapping[str, object]]) -> str:
    """The settings as TOML; strings and numbers are written there as in JSON."""
    lines = []
    for section, keys in table.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def environment(folder: Folder, table: Mapping[str, Mapping[str, object]], inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The user's environment, without the variables that would override what the demo sets."""
    ours = {"_".join(("WATTLAKE", *filter(None, (section, key)))).upper() for section, keys in table.items() for key in keys}
    return {**{k: v for k, v in inherited.items() if k not in ours}, "WATTLAKE_CONFIG": str(folder.config), "PYTHONUNBUFFERED": "1"}
