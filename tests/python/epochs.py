"""When a member uses which epoch: the timing of group::wire::spec::behaviour."""

import asyncio


class Epochs:
    """The clocks of activation and retirement.

    `tell` is called for every change, `drop` with an epoch whose root is to be erased.
    """

    MOST = 3

    def __init__(self, tell, drop):
        self.tell = tell
        self.drop = drop
        self.headers = {}
        self.active = 0
        self.first_pending = None
        self.pending = None
        self.retirements = []

    def install(self, header):
        """An epoch is received: it becomes active after its delay, unless it is activated before."""
        now = asyncio.get_running_loop().time()
        self.headers[header.epoch] = header
        if self.pending is None:
            self.first_pending = now
        else:
            self.pending.cancel()
        deadline = min(now + header.activation_delay, self.first_pending + 2 * header.activation_delay)
        self.pending = asyncio.get_running_loop().call_at(deadline, self.activate, header.epoch)
        while len(self.headers) > self.MOST:
            self.retire(min(epoch for epoch in self.headers if epoch != self.active))

    def activate(self, epoch):
        """Senders use this epoch now; the ones before it retire."""
        header = self.headers.get(epoch)
        if epoch <= self.active or header is None:
            # Over already, or passed over: a newer one is held, which has its own clock.
            return
        self.active = epoch
        self.tell("active", epoch=epoch)
        if epoch == max(self.headers) and self.pending is not None:
            self.pending.cancel()
            self.pending = None
        loop = asyncio.get_running_loop()
        self.retirements.append(loop.call_later(header.retirement_delay, self.retire_before, epoch))

    def retire_before(self, epoch):
        for retired in sorted(held for held in self.headers if held < epoch):
            self.retire(retired)

    def retire(self, epoch):
        del self.headers[epoch]
        self.drop(epoch)
        self.tell("retired", epoch=epoch)

    def end(self):
        for timer in [self.pending, *self.retirements]:
            if timer is not None:
                timer.cancel()
