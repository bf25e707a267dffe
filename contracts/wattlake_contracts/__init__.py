"""What the rooms of Wattlake say to each other: kinds of message, lake tables, units, and the log.

Everything is declared once here and derived elsewhere: the Arrow schema, the JSON Schema, the
lake's DDL, the columns of an import file and the reference page in docs/. This room imports
neither pyarrow nor DuckDB, so that the node agent can carry it.
"""
