"""PostgreSQL, for those who outgrow one file: many readers, rights by row, replicas.

Trigger functions capture what people do (`capture`) and keep the totals of time entries. A gate, an
advisory lock that each editing transaction shares and the engine's takes alone, makes the engine's
transactions as exclusive as SQLite's; no reader ever waits. Public: all that a `Dialect` has.
"""

from __future__ import annotations

from hisync.mirror.dialects import WRITE as WRITE
from hisync.mirror.dialects.postgres.bulk import HOLDS_NUL as HOLDS_NUL
from hisync.mirror.dialects.postgres.bulk import as_list as as_list
from hisync.mirror.dialects.postgres.bulk import as_one_cell as as_one_cell
from hisync.mirror.dialects.postgres.bulk import count_on as count_on
from hisync.mirror.dialects.postgres.bulk import count_singly as count_singly
from hisync.mirror.dialects.postgres.bulk import fill as fill
from hisync.mirror.dialects.postgres.bulk import insert as insert
from hisync.mirror.dialects.postgres.bulk import insert_rows as insert_rows
from hisync.mirror.dialects.postgres.bulk import is_listed as is_listed
from hisync.mirror.dialects.postgres.bulk import last_number as last_number
from hisync.mirror.dialects.postgres.bulk import logged_cell as logged_cell
from hisync.mirror.dialects.postgres.bulk import many_rows as many_rows
from hisync.mirror.dialects.postgres.bulk import raw as raw
from hisync.mirror.dialects.postgres.bulk import row_order as row_order
from hisync.mirror.dialects.postgres.bulk import upsert_rows as upsert_rows
from hisync.mirror.dialects.postgres.bulk import without_insert_triggers as without_insert_triggers
from hisync.mirror.dialects.postgres.capture import install_capture as install_capture
from hisync.mirror.dialects.postgres.capture import logged_row as logged_row
from hisync.mirror.dialects.postgres.capture import missing_triggers as missing_triggers
from hisync.mirror.dialects.postgres.capture import refuse_edits as refuse_edits
from hisync.mirror.dialects.postgres.capture import schema_version as schema_version
from hisync.mirror.dialects.postgres.connection import leftover_mark as leftover_mark
from hisync.mirror.dialects.postgres.connection import mark as mark
from hisync.mirror.dialects.postgres.connection import rows_written as rows_written
from hisync.mirror.dialects.postgres.connection import unmark as unmark
from hisync.mirror.dialects.postgres.database import open_database as open_database
from hisync.mirror.dialects.postgres.database import prepare_schema as prepare_schema
from hisync.mirror.dialects.postgres.database import tables as tables
from hisync.mirror.dialects.postgres.errors import explain as explain
from hisync.mirror.dialects.postgres.errors import name_taken as name_taken
from hisync.mirror.dialects.postgres.ledger import counted_minutes as counted_minutes
from hisync.mirror.dialects.postgres.views import install_views as install_views
from hisync.mirror.dialects.postgres.views import taken_names as taken_names
from hisync.mirror.dialects.postgres.views import views_to_make as views_to_make
