"""Conditions, smoothness along them, and groups of unequal size: `benchmarks.conditions`."""
