"""`python -m hisync` is the `hisync` command."""

from hisync.cli import main

main()
