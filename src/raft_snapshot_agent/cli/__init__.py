"""The commands: each only calls the packages below."""
