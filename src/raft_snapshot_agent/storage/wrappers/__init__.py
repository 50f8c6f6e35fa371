"""Wrappers that add retries, rate limit, time-outs or logging to a storage."""
