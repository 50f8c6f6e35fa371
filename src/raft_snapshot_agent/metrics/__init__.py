"""Metrics: one table of what each one is, and its renderings."""
