"""hisync: two-way sync between hiTask and a SQL database."""

__version__ = "0.1.0"
