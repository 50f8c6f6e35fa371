"""The agent's whole job on an embedded cluster, for a newcomer's first two minutes."""
