"""`python -m genomix`."""

from genomix.cli.main import run

if __name__ == "__main__":
    run()
