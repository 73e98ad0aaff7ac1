"""SQLite, the default: one file, and its one writer holds a lock on another beside it.

Triggers capture what people do (`capture`), those of time entries also keep the totals of their
items (`ledger`); `views` are the reports. Public: all that a `Dialect` has.
"""

from __future__ import annotations

from hisync.mirror.dialects import WRITE as WRITE
from hisync.mirror.dialects.sqlite.bulk import HOLDS_NUL as HOLDS_NUL
from hisync.mirror.dialects.sqlite.bulk import as_list as as_list
from hisync.mirror.dialects.sqlite.bulk import as_one_cell as as_one_cell
from hisync.mirror.dialects.sqlite.bulk import count_on as count_on
from hisync.mirror.dialects.sqlite.bulk import count_singly as count_singly
from hisync.mirror.dialects.sqlite.bulk import fill as fill
from hisync.mirror.dialects.sqlite.bulk import insert as insert
from hisync.mirror.dialects.sqlite.bulk import insert_rows as insert_rows
from hisync.mirror.dialects.sqlite.bulk import is_listed as is_listed
from hisync.mirror.dialects.sqlite.bulk import last_number as last_number
from hisync.mirror.dialects.sqlite.bulk import logged_cell as logged_cell
from hisync.mirror.dialects.sqlite.bulk import many_rows as many_rows
from hisync.mirror.dialects.sqlite.bulk import raw as raw
from hisync.mirror.dialects.sqlite.bulk import row_order as row_order
from hisync.mirror.dialects.sqlite.bulk import upsert_rows as upsert_rows
from hisync.mirror.dialects.sqlite.capture import install_capture as install_capture
from hisync.mirror.dialects.sqlite.capture import logged_row as logged_row
from hisync.mirror.dialects.sqlite.capture import missing_triggers as missing_triggers
from hisync.mirror.dialects.sqlite.capture import refuse_edits as refuse_edits
from hisync.mirror.dialects.sqlite.capture import without_insert_triggers as without_insert_triggers
from hisync.mirror.dialects.sqlite.connection import ChangeWatch as ChangeWatch
from hisync.mirror.dialects.sqlite.connection import leftover_mark as leftover_mark
from hisync.mirror.dialects.sqlite.connection import mark as mark
from hisync.mirror.dialects.sqlite.connection import rows_written as rows_written
from hisync.mirror.dialects.sqlite.connection import schema_version as schema_version
from hisync.mirror.dialects.sqlite.connection import unmark as unmark
from hisync.mirror.dialects.sqlite.database import explain as explain
from hisync.mirror.dialects.sqlite.database import name_taken as name_taken
from hisync.mirror.dialects.sqlite.database import open_database as open_database
from hisync.mirror.dialects.sqlite.database import prepare_schema as prepare_schema
from hisync.mirror.dialects.sqlite.database import tables as tables
from hisync.mirror.dialects.sqlite.ledger import counted_minutes as counted_minutes
from hisync.mirror.dialects.sqlite.views import install_views as install_views
from hisync.mirror.dialects.sqlite.views import taken_names as taken_names
from hisync.mirror.dialects.sqlite.views import views_to_make as views_to_make
