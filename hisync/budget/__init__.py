"""How many requests may go to hiTask, when, how many at once, and for what."""
