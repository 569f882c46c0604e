"""What must survive a restart: the topics and entries of durable channels, and what their producers have noted."""
