"""Storages around another storage: retries, rate limit, timeouts."""
