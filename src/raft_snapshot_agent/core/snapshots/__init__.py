"""What is known of one snapshot: its name, its manifest, and notes beside it."""
