"""Comments, both ways: read out of the items' histories, posted and deleted one by one."""
