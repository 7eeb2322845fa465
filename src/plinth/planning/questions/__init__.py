"""What `plinth advise` asks, in the order of the guidance, and the file that comes of it."""
