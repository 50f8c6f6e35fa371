"""Wrappers that add retries, rate limit, time-outs or logging to a storage; a look at its list."""
