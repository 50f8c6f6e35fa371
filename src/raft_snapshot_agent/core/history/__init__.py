"""Which snapshots count, which stay, and what is odd about a new one."""
