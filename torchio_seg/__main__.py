"""`python -m torchio_seg` is `torchio-seg`."""

from torchio_seg.cli import main

if __name__ == "__main__":
    main()
