"""`python -m wgankit` is the command `wgankit`."""

from wgankit.cli import main

if __name__ == "__main__":
    main()
