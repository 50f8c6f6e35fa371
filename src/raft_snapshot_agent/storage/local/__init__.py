"""Snapshots in a local folder."""
