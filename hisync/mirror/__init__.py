"""The mirror: a SQL database that people read and edit, and all that is kept beside it."""
