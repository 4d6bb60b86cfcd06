"""Benchmarks: commands that print a table and write JSON, with versions and seed."""
