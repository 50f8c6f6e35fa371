"""What the agent tells: the log and systemd."""
