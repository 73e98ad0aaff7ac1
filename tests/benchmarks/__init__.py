"""How quick and how small hisync is beside the least that the same work can cost."""
