"""Giving up an execution that did not end in time, so that it does nothing more.

Python cannot stop a thread. A worker on a server can live with that. An invocation cannot: its process is frozen when
it has answered, and what was left behind goes on some time later, when its step has been executed again elsewhere. So
the thread gets an exception raised in it as soon as it executes Python again (`PyThreadState_SetAsyncExc`), and until
then, or if it should catch that, nothing that it asks its step's context for is given to it any more.
"""

from __future__ import annotations


class GivenUp(BaseException):
    """The execution was given up. No `Exception`: nodes that go on after any error do not go on after this one."""


def interrupt(thread: int) -> bool:
    """Raise `GivenUp` in a thread, as soon as it is not in a call that blocks. False if there is no such thread."""
    import ctypes  # only when something hangs

    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(GivenUp))
    return bool(raised)
