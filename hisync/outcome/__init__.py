"""What became of our writes: as their answer shows it, or, where that got lost, the history."""
