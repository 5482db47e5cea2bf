"""Files of other projects that hide a package or a standard module. This loads before all others, and needs none."""

import os
import sys
from types import TracebackType


def prepare() -> None:
    """Let files of other projects hide no package from a command, or name them in its errors.

    ``python -m`` looks for packages in the working directory first, where there may be a ``logging.py``: this removes
    it, unless this package is in it. In the folders of ``PYTHONPATH``, where packages may be on purpose, files are
    only named.
    """
    spec = sys.modules["__main__"].__spec__
    is_ours = spec is not None and spec.parent in ("mir_tf", "tfrecords_builder")
    if (
        is_ours
        and not getattr(sys.flags, "safe_path", False)
        and sys.path[0] != os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    ):
        del sys.path[0]
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an exception that nothing caught: a message in place of the traceback if a hidden package explains it."""
    hidden: list[str] = []
    if isinstance(error, ImportError | AttributeError | SyntaxError | TypeError):
        try:
            hidden = _hiding_files()
        except Exception:  # what this needs may be hidden, too
            sys.__excepthook__(kind, error, traceback)
            return
    if not hidden:
        sys.__excepthook__(kind, error, traceback)
        return
    names = ", ".join(hidden)
    message = f"{names} may hide a package of this name; rename it, or leave its folder out of PYTHONPATH"
    print(f"Error: {error!r}: {message}", file=sys.stderr)


def _hiding_files() -> list[str]:
    found = []
    for folder in filter(os.path.isdir, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        names = sorted(os.listdir(folder))
        if "mir_tf" in names or any(name.endswith(".dist-info") for name in names):  # packages are installed there
            continue
        files = [os.path.abspath(os.path.join(folder, name)) for name in names]
        found += [file for file in files if file.endswith(".py")]
        found += [file for file in files if os.path.isfile(os.path.join(file, "__init__.py"))]
    # The next line needs some of the hidden modules.
    sys.path[:] = [folder for folder in sys.path if folder not in map(os.path.dirname, found)]
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in found:
            del sys.modules[name]
    import importlib.metadata

    known = importlib.metadata.packages_distributions().keys() | sys.stdlib_module_names
    return [file for file in found if os.path.basename(file).removesuffix(".py") in known]
