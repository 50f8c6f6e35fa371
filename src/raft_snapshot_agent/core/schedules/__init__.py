"""When a snapshot is due."""
