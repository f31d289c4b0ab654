"""Benchmarks: one command each, `python -m benchmarks.NAME`, with --quick, --check and --json."""
