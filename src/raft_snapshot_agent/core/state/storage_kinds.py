"""What the agent decides by the kind of a storage, and by nothing else of it."""

from __future__ import annotations

OF_THIS_HOST = {"local"}
"""Folders: an agent on another host has one of its own, and cannot see this one's."""
OF_FILES = {"local", "sftp"}
"""Storages in which each file has its own permissions; elsewhere credentials may lack a right."""
