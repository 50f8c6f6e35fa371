"""How connections are made: which certificates are trusted, and which proxy they go through.

Every connection of the agent asks here; no library reads the proxy variables by itself.
"""
