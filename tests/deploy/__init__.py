"""The deployments, for real: systemd booted in a container, the image built and run."""
