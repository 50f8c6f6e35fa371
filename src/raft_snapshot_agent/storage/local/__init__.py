"""Snapshots in a folder."""
