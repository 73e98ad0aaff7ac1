"""No table changes: PostgreSQL's capture functions are others, and may be run by triggers alone.

They are put in place after each migration.
"""

from __future__ import annotations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing more."""
