"""Print how many MB each installed package takes, the largest first, and the sum.

python tools/package_sizes.py
"""

from __future__ import annotations

import contextlib
import importlib.metadata


def size_of(package: importlib.metadata.Distribution) -> int:
    """Return the bytes that the files of a package occupy on disk."""
    size = 0
    for file in package.files or ():
        with contextlib.suppress(FileNotFoundError):
            size += package.locate_file(file).stat().st_blocks * 512
    return size


def main() -> None:
    """Print the table."""
    sizes = {package.name: size_of(package) for package in importlib.metadata.distributions()}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / 1e6:7.1f}  {name}")
    print(f"{sum(sizes.values()) / 1e6:7.1f}  in all")


if __name__ == "__main__":
    main()
