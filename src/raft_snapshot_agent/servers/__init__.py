"""Throw-away real servers on loopback, for the demo, the restore drill and the tests."""
