"""A tf.data service in a process of its own: one in the test's process may wait for ever when it is taken down."""

import contextlib
import subprocess
import sys

_PROGRAM = """
import tensorflow as tf
service = tf.data.experimental.service
dispatcher = service.DispatchServer()
worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=dispatcher.target.split("://")[1]))
print(dispatcher.target, flush=True)
worker.join()
"""


@contextlib.contextmanager
def data_service():
    """Address of a dispatcher with one worker."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()
