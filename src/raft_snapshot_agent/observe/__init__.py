"""What the agent reports: log, status, traces, systemd."""
