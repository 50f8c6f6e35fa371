"""What is wrong, and who is told when."""
