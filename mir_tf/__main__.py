"""Run the command line as ``python -m mir_tf``, also where the folder of ``mir-tf`` is not on the PATH."""

from mir_tf.cli import main

if __name__ == "__main__":
    main()
