"""What a snapshot's file holds, read piece by piece."""
