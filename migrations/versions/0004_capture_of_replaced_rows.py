"""No table changes: the capture triggers are others, and are put in place after each migration.

Without a revision of its own, a mirror whose triggers are the former ones would seem to have been
tampered with.
"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing more."""
