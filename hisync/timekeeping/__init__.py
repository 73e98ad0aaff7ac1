"""Time spent: the ledger of entries, what was seen on hiTask, and who spent it."""
