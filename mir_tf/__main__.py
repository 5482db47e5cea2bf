"""Run the command line, as ``mir-tf`` and as ``python -m mir_tf``, also where ``mir-tf`` is not on the PATH."""

from mir_tf.io import search_path


def main() -> None:
    """Run ``mir-tf``. Ctrl-C ends it without a traceback while it loads, too."""
    search_path.prepare()
    import gc
    import signal

    handles_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in the background
    if handles_interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # it would search what the modules define again and again while they load
    from mir_tf import cli

    gc.freeze()
    gc.enable()

    if handles_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main(prog_name="mir-tf")


if __name__ == "__main__":
    main()
