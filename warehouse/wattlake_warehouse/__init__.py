"""The warehouse: marts, SQL, quality gates and reports over the lake, which it only reads."""
