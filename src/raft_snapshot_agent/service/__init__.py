"""The daemon: one loop per cluster."""
