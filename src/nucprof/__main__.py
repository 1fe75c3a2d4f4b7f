"""``python -m nucprof``."""

from nucprof.cli import main

if __name__ == "__main__":
    main()
