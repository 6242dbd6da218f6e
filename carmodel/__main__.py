"""`python -m carmodel`: the command line."""

from .commands.cli import main

if __name__ == "__main__":
    main()
