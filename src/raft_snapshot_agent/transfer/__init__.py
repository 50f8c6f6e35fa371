"""Transfer of one snapshot from the server to local disk."""
