"""`python -m localjudge`."""

from localjudge.cli import main

main()
