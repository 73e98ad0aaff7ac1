"""The soak: the daemon for days, with people at work and faults that come and go."""
