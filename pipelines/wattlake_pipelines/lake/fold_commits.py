"""Old commits as one row per day and stage: a follower makes millions of them in a year, and each commit reads the whole book."""

from __future__ import annotations

from math import ceil
from uuid import uuid4

from wattlake_contracts.layout import ALIAS, DAY_MS
from wattlake_contracts.tables import COMMITS
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Folded, Manifest

#: Each commit of so many days has a row of its own, and so have the last ones. Days on which none was made do not count: a clock that steps folds nothing.
DETAILED_DAYS, DETAILED = 30, 1_000
#: Fewer rows are not worth a commit.
WORTHWHILE = 256
#: What a follower makes without end. What changed keys keeps its rows: `node_keys` names them.
_STAGES = "stage IN ('land', 'account', 'maintain')"


def fold_commits(committer: Committer, keep_days: float) -> int:
    """Fold what is older; give how many rows have gone. keep_days: snapshots are kept for so long, and a snapshot names its commit.

    A row that stands for several has the number, attempt and place in time of the last of them, the sum of their
    rows and the latest of their watermarks. The last commit of each stage keeps its row: numbers and watermarks go on from there.
    """
    days = max(DETAILED_DAYS, ceil(keep_days))
    [(upto, last)] = committer.query(f"""
        SELECT least(max(batch) - {DETAILED}, (
                   SELECT coalesce(min(of_day), 0) FROM (
                       SELECT max(batch) AS of_day FROM {ALIAS}.commits GROUP BY committed_ms // {DAY_MS} ORDER BY of_day DESC LIMIT 1 OFFSET {days}))),
               (SELECT list(of_stage) FROM (SELECT max(batch) AS of_stage FROM {ALIAS}.commits GROUP BY stage))
        FROM {ALIAS}.commits HAVING count(*) > {DETAILED}""").fetchall() or [(None, None)]
    if upto is None:
        return 0
    # told by numbers, so that what goes is what is read here
    gone = f"batch <= {upto} AND {_STAGES} AND batch NOT IN ({', '.join(map(str, last))})"
    found = committer.query(f"""
        SELECT max(batch), stage, arg_max(attempt, batch), sum(rows)::BIGINT, sum(rejects)::BIGINT, max(watermark_ms), max(committed_ms),
               nullif(count(*) - 1 + coalesce(sum(folded), 0), 0)::BIGINT, count(*) - 1
        FROM {ALIAS}.commits WHERE {gone} GROUP BY stage, committed_ms // {DAY_MS}""").fetchall()
    going = sum(row[-1] for row in found)
    if going < WORTHWHILE:
        return 0
    rows = tuple(dict(zip(COMMITS.names, row[:-1], strict=True)) for row in found)
    committer.commit(Manifest("maintain", uuid4().hex[:12], folded=Folded(gone, rows)))
    return int(going)
