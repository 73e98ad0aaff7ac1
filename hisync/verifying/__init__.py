"""The whole mirror held against the whole account, and set right."""
