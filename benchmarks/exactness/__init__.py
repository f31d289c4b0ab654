"""Experiments with exact answers: `python -m benchmarks.exactness`.

Each module holds the experiments of one group of claims; `catalogue` says what an experiment is.
"""
