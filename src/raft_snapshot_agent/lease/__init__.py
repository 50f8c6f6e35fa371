"""The lease that lets one of several agents work."""
