"""What follows from changes of runs that a table's stream tells: frames to who watches, webhooks, usage.

The order matters when a batch comes again. Frames know their positions and deliveries their ids, so doing those again
changes nothing; usage is counted last, and what comes behind it never fails. So a batch is counted when all else is
done, and not before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flowrunner.core.ids import Millis
from flowrunner.errors import StoreError
from flowrunner.ports.changes import RunMoved, StepSpoke
from flowrunner.services.deliveries import Delivery
from flowrunner.services.outbound import Outbound
from flowrunner.services.sockets import Sockets
from flowrunner.services.stream_usage import StreamUsage

log = logging.getLogger("flowrunner.stream")


class RunNews:
    """See the module. Used by one thread at a time."""

    def __init__(self, usage: StreamUsage, outbound: Outbound, sockets: Sockets | None) -> None:
        self._usage = usage
        self._outbound = outbound
        self._sockets = sockets
        self._deliveries: list[Delivery] = []
        outbound.relay.on_insert = self._deliveries.append

    def tell(self, changes: Sequence[RunMoved | StepSpoke], until: Millis) -> None:
        """Do all that follows from a batch. Raises `StoreError`; to be repeated then.

        `until`: when what takes long is to be left to the scheduler.
        """
        moved = [one for one in changes if isinstance(one, RunMoved)]
        self._deliveries.clear()
        if self._sockets is not None:
            self._sockets.tell(changes, until)
        self._outbound.relay.moved([one.row for one in moved])
        self._usage.count(moved)
        try:
            self._outbound.sender.send_now(self._deliveries)
        except StoreError as error:
            log.warning("webhooks are sent later: %s", error)
