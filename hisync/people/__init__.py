"""Who is who: users, groups and tags, asked for, kept and found by name."""
