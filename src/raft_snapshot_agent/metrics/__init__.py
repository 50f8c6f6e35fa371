"""Metrics: one table of what each one is, and its renderings for whoever collects them."""
