"""The file log: append-only segments on disk, the embedded carrier and the agent's durable spool.

One partition (a folder) per writer. A partition holds segments `<first offset>.wlog` of records,
and `durable`, which says how far they are fsynced: readers never pass that mark.
"""
