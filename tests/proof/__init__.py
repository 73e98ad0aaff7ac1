"""The proof that nothing is lost and nothing doubled; README's "How it is proven" is the way in."""
