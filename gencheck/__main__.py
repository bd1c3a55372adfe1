"""`python -m gencheck`: the same as the `gencheck` program."""

from gencheck.cli.app import main

main()
