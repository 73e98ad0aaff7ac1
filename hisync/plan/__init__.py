"""What should happen, decided over plain values: no I/O, no clock, no randomness."""
