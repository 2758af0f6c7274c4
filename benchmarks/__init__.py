"""Measurements that print a table: `python -m benchmarks.<name>`, from the root of the tree."""
