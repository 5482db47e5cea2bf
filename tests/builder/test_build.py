"""The whole builder: records on one clock, bad tracks named, the same bytes from any number of workers."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import click.testing
import librosa
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from mir_tf import audio, frontend, schema
from mir_tf.config import FRONT_ENDS, FrontEndConfig
from mir_tf.errors import AudioError, DataError
from tfrecords_builder.__main__ import main
from tfrecords_builder.build import build, make_record
from tfrecords_builder.slakh import Stem, Track, find_tracks
from tests.builder.conftest import write_midi, write_track
