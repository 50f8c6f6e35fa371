"""The commands: each a few lines that call the floors below."""
