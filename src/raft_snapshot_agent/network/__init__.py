"""Makes connections: proxy, trusted certificates, deadlines.

All connections of the agent are configured here; no library reads the proxy variables itself.
"""
