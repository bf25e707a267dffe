"""The input of the benches: a simulated fleet on a file log, landed by the shipped code."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import pyarrow as pa

from wattlake_contracts.config import LakeConfig
from wattlake_contracts.layout import data_file
from wattlake_contracts.tables import RAW_READINGS
from wattlake_pipelines.allocator import choose_allocators
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.seed import seed
from wattlake_pipelines.land.land import Landed, land
from wattlake_pipelines.land.source import FileSource, Source
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.write import simulate


def options(quick: bool) -> Options:
    """Machines with 8 GPUs each, read once a second, with the noise, gaps and late messages that `wattlake simulate` makes by itself."""
    return Options(nodes=2, days=2 / 24) if quick else Options(nodes=8, days=1.0)


def write_log(folder: Path, quick: bool) -> Path:
    """A log of the fleet, made once for a folder."""
    log = folder / "log"
    if not log.is_dir():
        simulate(log, options(quick))
    return log


def land_log(log: Path, committer: Committer) -> Landed:
    """Land the file log as `wattlake land` does, with its defaults."""
    return land_from(FileSource(log), committer)


def land_from(log: Source, committer: Committer) -> Landed:
    """Land a log as `wattlake land` does, with its defaults."""
    choose_allocators()
    # pyarrow has looked at its variable before
    pa.set_memory_pool({"system": pa.system_memory_pool, "mimalloc": pa.mimalloc_memory_pool, "jemalloc": pa.jemalloc_memory_pool}[
        os.environ["ARROW_DEFAULT_MEMORY_POOL"]]())
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="apache_beam")
    return land(committer, log, round_bytes=LakeConfig().round_mib * 2**20)


def landed(folder: Path, quick: bool) -> Path:
    """A lake of the fleet with the shipped factors, landed and not accounted for; made once for a folder."""
    lake = folder / "lake"
    if not lake.is_dir():
        with Committer(lake) as committer:
            seed(committer)
            land_log(write_log(folder, quick), committer)
    return lake


def reading_files(lake: Path) -> list[Path]:
    """The Parquet files of raw_readings."""
    return sorted(data_file(lake, RAW_READINGS.name, "").glob("*.parquet"))
