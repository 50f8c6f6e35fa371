"""Speed side by side with the alternatives, on real servers: `make bench`."""
