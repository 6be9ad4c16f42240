"""Runs the checks of a client program: one line a check, a time limit for each, exit code 1 if one failed.

The lines are `version V`, `ok NAME`, and `failed NAME: REASON`. `scripts/test-clients` reads them.
"""

import signal
import sys
import time
import traceback
import uuid

# A check that takes longer has failed. Rebalances on a slow machine take a few seconds.
CHECK_SECONDS = 60

#: Makes the names of topics and groups unique, so that programs can run again on the same broker.
RUN = uuid.uuid4().hex[:8]


def name(what: str) -> str:
    """Returns a topic, group or transactional id of this run."""
    return f"{what}-{RUN}"


def wait_until(what: str, condition, seconds: float = 30.0, pause: float = 0.05):
    """Calls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


def same(found, expected, what: str = "value") -> None:
    """Fails unless both are equal."""
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


class Checks:
    """Counts checks and prints their results."""

    def __init__(self, version: str) -> None:
        self.failures = 0
        print(f"version {version}", flush=True)

    def passed(self, check: str) -> None:
        print(f"ok {check}", flush=True)

    def failed(self, check: str, error: BaseException) -> None:
        self.failures += 1
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        print(f"failed {check}: {reason}", flush=True)
        traceback.print_exception(error, file=sys.stderr)

    def run(self, check: str, function, *arguments, seconds: int = CHECK_SECONDS) -> None:
        """Calls a function; it passes if it returns within the time limit."""

        def expired(_signal, _frame):
            raise TimeoutError(f"not done within {seconds} s")

        signal.signal(signal.SIGALRM, expired)
        signal.alarm(seconds)
        try:
            function(*arguments)
        except Exception as error:
            signal.alarm(0)
            self.failed(check, error)
        else:
            self.passed(check)
        finally:
            signal.alarm(0)

    def exit(self) -> None:
        sys.exit(1 if self.failures else 0)
