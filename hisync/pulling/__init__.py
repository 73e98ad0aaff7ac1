"""What the pull is made of: the items of an answer, found, merged and applied, or missed."""
