"""What people decide: drop a change or try it again, take a side, bring back what has left."""
