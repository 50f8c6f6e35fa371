"""Which of several agents works."""
