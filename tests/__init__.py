"""hisync's tests."""
