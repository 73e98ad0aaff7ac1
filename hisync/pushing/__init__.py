"""What the push is made of: what is to be sent, claimed, held back, sent and refused."""
