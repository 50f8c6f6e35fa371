"""What the agent is told: the model, the files and dialects it is read from, and its checks."""
