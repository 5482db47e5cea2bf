"""Standard error while LiteRT prepares its first model: no line about XNNPACK, and nothing else is lost."""

import subprocess
import sys
import textwrap

import pytest

from mir_tf import pretrained

LINE = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"


def python(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import os, sys\nmodel = {str(pretrained.tflite())!r}\n{textwrap.dedent(code)}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_litert_alone_logs_the_line() -> None:
    result = python("""
        from ai_edge_litert.interpreter import Interpreter
        Interpreter(model).allocate_tensors()
    """)
    assert (result.returncode, result.stderr) == (0, LINE)


def test_a_model_loads_and_predicts_in_silence() -> None:
    result = python("""
        import mir_tf, numpy
        for _ in range(2):
            mir_tf.load(model).predict(numpy.zeros(8000), sr=8000)
        print("after", file=sys.stderr)
    """)
    assert (result.returncode, result.stderr) == (0, "after\n")


def test_what_others_write_meanwhile_follows() -> None:
    result = python("""
        from ai_edge_litert.interpreter import Interpreter
        from mir_tf.io.litert_log import hide_xnnpack_line
        for number in range(3):
            with hide_xnnpack_line():
                os.write(2, b"ERROR: from a library\\n")
                Interpreter(model).allocate_tensors()
                print("from Python", file=sys.stderr)
        try:
            with hide_xnnpack_line():
                os.write(2, b"before the error\\n")
                raise ValueError("damaged")
        except ValueError as error:
            print(error, file=sys.stderr)
    """)
    expected = "ERROR: from a library\nfrom Python\n" * 3 + "before the error\ndamaged\n"
    assert (result.returncode, result.stderr) == (0, expected)


def test_no_line_of_another_thread_is_lost() -> None:
    result = python("""
        import threading, mir_tf
        stop, count = threading.Event(), 0
        def write():
            global count
            while not stop.is_set():
                os.write(2, b"%d\\n" % count)
                count += 1
        thread = threading.Thread(target=write)
        thread.start()
        models = [threading.Thread(target=mir_tf.load, args=(model,)) for _ in range(4)]
        for loading in models:
            loading.start()
        for loading in models:
            loading.join()
        stop.set()
        thread.join()
        print(count)
    """)
    lines = result.stderr.splitlines()
    assert len(lines) == int(result.stdout) > 100
    assert sorted(map(int, lines)) == list(range(len(lines)))


@pytest.mark.skipif(sys.platform == "win32", reason="closes a descriptor that Windows needs")
def test_a_program_without_standard_error_loads_a_model() -> None:
    result = python("""
        os.close(2)
        import mir_tf
        print(len(mir_tf.load(model).classes))
    """)
    assert (result.returncode, result.stdout) == (0, "17\n")
