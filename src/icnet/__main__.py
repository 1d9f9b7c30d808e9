"""`python -m icnet` is the `icnet` command."""

from icnet.cli import main

if __name__ == "__main__":
    main()
