"""`python -m cli` is `groundcrew`."""

from cli.main import main

main()
