"""`Notifier` over the outbox: mask, dedup, store, then a first attempt that is waited for seconds only."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.kernel.errors import GroundcrewError, Unavailable
from shared.kernel.ports import Clock
from shared.notifications.decide import build_entry
from shared.notifications.dedup import NotificationDedup
from shared.notifications.model import Batch, Message, Notice
from shared.notifications.outbox import Outbox
from shared.notifications.ports import Channel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutboxNotifier:
    """Stores notices.

    `deliver` makes the first attempt and returns soon, whatever comes of it. `mask` takes secrets out of a
    text. `last_resort` are the addresses that are used if not even the storage takes a notice. `wake` has
    somebody deliver after a while.
    """

    outbox: Outbox
    dedup: NotificationDedup
    clock: Clock
    repeat_after: timedelta
    deliver: Callable[[], object]
    mask: Callable[[str], str]
    last_resort: Callable[[Notice], Sequence[Channel]] = lambda _notice: ()
    wake: Callable[[timedelta], object] = lambda _delay: None

    def notify(self, notice: Notice) -> bool:
        """See `Notifier.notify`."""
        # Before it is stored: the outbox is read by more people than the vault.
        notice = self._mask(notice)
        try:
            is_new = self._store_once(notice)
        except GroundcrewError as error:
            if notice.resolved:
                # Whether its beginning was told cannot be seen: people would hear the end of nothing.
                raise Unavailable("that it is over could not be told", value=error) from error
            self._send_directly(notice, error)
            return True
        if is_new:
            self.deliver()
        return is_new

    def notify_resolved(self, notices: Sequence[Notice]) -> None:
        """See `Notifier.notify_resolved`."""
        known = self.dedup.find_known(notice.key for notice in notices)
        for notice in notices:
            if notice.key in known:
                self.notify(notice)

    def notify_group(self, notices: Sequence[Notice], *, wait: timedelta) -> None:
        """See `GroupNotifier.notify_group`."""
        if self.outbox.add([self._mask(notice) for notice in notices], wait=wait):
            self.wake(wait)

    def _store_once(self, notice: Notice) -> bool:
        if notice.resolved and notice.key:
            return self._resolve(notice)
        if not notice.key:
            self.outbox.add([notice])
            return True
        again = self.repeat_after if notice.again else None
        with self.dedup.claim(notice.key, repeat_after=again) as is_due:
            if is_due:
                self.outbox.add([notice])
        return is_due

    def _resolve(self, notice: Notice) -> bool:
        """Tell the end only of what was told. Told before it is cleared: a death in between repeats it."""
        if not self.dedup.was_sent(notice.key):
            return False
        self.outbox.add([notice])
        self.dedup.forget(notice.key)
        return True

    def _send_directly(self, notice: Notice, cause: GroundcrewError) -> None:
        """Without storage a notice is sent once, now, or whoever raises it has to raise it again."""
        log.warning("notification.not_stored", extra={"title": notice.title, "error": str(cause)})
        message = Message(notice.topic_name, Batch((build_entry(notice, self.clock.now()),)))
        accepted = False
        for channel in self.last_resort(notice):
            try:
                channel.send(message)
                accepted = True
            except GroundcrewError as error:
                log.warning(
                    "notification.last_resort_failed", extra={"title": notice.title, "error": str(error)}
                )
        if not accepted:
            raise Unavailable("the notification could be neither stored nor sent", value=cause) from cause

    def _mask(self, notice: Notice) -> Notice:
        fields = tuple((self.mask(name), self.mask(value)) for name, value in notice.fields)
        title, text, hint = (self.mask(part) for part in (notice.title, notice.text, notice.hint))
        return replace(notice, title=title, text=text, hint=hint, fields=fields)


class BackgroundDelivery:
    """Runs `send` in a thread and waits for it only so long: a channel that hangs holds up no job.

    One thread serves all that ask meanwhile, and goes over the outbox once more after the last of them.
    """

    def __init__(self, send: Callable[[], object], limit: timedelta) -> None:
        self._send, self._limit_seconds = send, limit.total_seconds()
        self._lock = threading.Lock()
        self._asked = False
        self._done: threading.Event | None = None

    def __call__(self) -> None:
        """Have everything that is due sent; returns when that was tried, or the limit is over."""
        with self._lock:
            self._asked = True
            if self._done is None:
                self._done = threading.Event()
                threading.Thread(target=self._run, name="notifications", daemon=True).start()
            done = self._done
        done.wait(self._limit_seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._asked:
                    done, self._done = self._done, None
                    break
                self._asked = False
            try:
                self._send()
            except GroundcrewError as error:
                log.warning("notification.delivery_failed", extra={"error": str(error)})
            except Exception:  # the thread has no caller who would see it; the next tick tries again
                log.exception("notification.internal_error", extra={"work": "send_notifications"})
        if done is not None:
            done.set()
