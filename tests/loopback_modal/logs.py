"""Output of containers: kept for each app, streamed, and read again later; late, in part, or for a while only.

`AppGetLogs` follows (that is `modal.enable_output()`, and `modal app logs -f`); `AppFetchLogs` and
`AppCountLogs` read history (that is `app.logs.fetch()`, `call.logs.tail()`, `modal app logs`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from modal_proto import api_pb2

from .rpc import Caller, rpc
from .state import App, Container, Function, LogEntry, Settings, World

Filters = api_pb2.AppGetLogsRequest | api_pb2.AppFetchLogsRequest | api_pb2.AppCountLogsRequest


INFO = api_pb2.FILE_DESCRIPTOR_INFO


class Journal:
    """What gets into the logs, and when."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._random = random.Random(0)

    def write(self, container: Container, data: str, fd: api_pb2.FileDescriptor.ValueType = INFO) -> None:
        """Add a container's output to its app's log, with the input that it belongs to if there is just one."""
        entry = LogEntry(time.time(), data, fd, task_id=container.id, function_id=container.function.id)
        if len(container.running) == 1:
            (item,) = container.running.values()
            entry.input_id, entry.function_call_id = item.id, item.call.id
        self._add(container.function.app, entry)

    def tell(self, function: Function, data: str) -> None:
        """Add a word of the server's own about a function."""
        self._add(function.app, LogEntry(time.time(), data, INFO, function_id=function.id))

    def _add(self, app: App, entry: LogEntry) -> None:
        if self._random.random() < self.settings.log_share:
            return
        if self.settings.log_delay:
            asyncio.get_running_loop().call_later(self.settings.log_delay, app.add_to_log, entry)
        else:
            app.add_to_log(entry)

    def kept(self, app: App) -> list[LogEntry]:
        """Return an app's log, or what is left of it."""
        retention = self.settings.log_retention
        if retention is None:
            return app.logs
        return [entry for entry in app.logs if entry.timestamp > time.time() - retention]


def _batch(entry: LogEntry) -> api_pb2.TaskLogsBatch:
    item = api_pb2.TaskLogs(
        data=entry.data,
        timestamp=entry.timestamp,
        timestamp_ns=int(entry.timestamp * 1e9),
        file_descriptor=entry.fd,
        function_call_id=entry.function_call_id,
        input_id=entry.input_id,
        container_id=entry.task_id,
    )
    return api_pb2.TaskLogsBatch(
        task_id=entry.task_id,
        function_id=entry.function_id,
        input_id=entry.input_id,
        entry_id=f"{entry.number}-0",
        items=[item],
    )


def _seconds(stamp: Timestamp) -> float:
    return float(stamp.seconds + stamp.nanos / 1e9)


class Logs:
    """The RPCs about logs."""

    def __init__(self, world: World, journal: Journal) -> None:
        self.world = world
        self.journal = journal

    @rpc("AppGetLogs")
    async def follow(self, request: api_pb2.AppGetLogsRequest, caller: Caller) -> AsyncIterator[api_pb2.TaskLogsBatch]:
        """Stream an app's output after `last_entry_id`, until it is quiet for `timeout` or the app is done."""
        app = self._app(request)
        seen = int((request.last_entry_id or "0").split("-")[0])
        deadline = time.monotonic() + request.timeout
        while True:
            entries = [entry for entry in self.journal.kept(app) if entry.number > seen]
            seen = len(app.logs)
            for entry in self._matching(entries, request, request.file_descriptor):
                yield _batch(entry)
            if self._done(app) and seen == len(app.logs):
                yield api_pb2.TaskLogsBatch(app_done=True)
                return
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            await app.changed.until(partial(self._news, app, seen), remaining)

    @rpc("AppFetchLogs")
    async def fetch(self, request: api_pb2.AppFetchLogsRequest, caller: Caller) -> api_pb2.AppFetchLogsResponse:
        """Return the last `limit` pieces of output of a time range, oldest first."""
        entries = self._between(request)
        return api_pb2.AppFetchLogsResponse(batches=[_batch(entry) for entry in entries[-(request.limit or 500) :]])

    @rpc("AppCountLogs")
    async def count(self, request: api_pb2.AppCountLogsRequest, caller: Caller) -> api_pb2.AppCountLogsResponse:
        """Return how much output there is in each stretch of a time range."""
        width = request.bucket_secs or 1
        buckets: dict[int, api_pb2.AppCountLogsResponse.LogBucket] = {}
        for entry in self._between(request):
            start = int(entry.timestamp // width) * width
            bucket = buckets.setdefault(
                start, api_pb2.AppCountLogsResponse.LogBucket(bucket_start_at=Timestamp(seconds=start))
            )
            if entry.fd == api_pb2.FILE_DESCRIPTOR_STDOUT:
                bucket.stdout_logs += 1
            elif entry.fd == api_pb2.FILE_DESCRIPTOR_STDERR:
                bucket.stderr_logs += 1
            else:
                bucket.system_logs += 1
        return api_pb2.AppCountLogsResponse(
            app_id=request.app_id, buckets=[buckets[start] for start in sorted(buckets)]
        )

    def _app(self, request: Filters) -> App:
        for apps in (self.world.apps, self.world.builders):
            if request.app_id in apps:
                return apps[request.app_id]
        return self.world.containers[request.task_id].function.app

    def _news(self, app: App, seen: int) -> bool:
        return len(app.logs) > seen or self._done(app)

    def _done(self, app: App) -> bool:
        return app.stopped and not any(
            function.live for function in self.world.functions.values() if function.app is app
        )

    def _between(self, request: api_pb2.AppFetchLogsRequest | api_pb2.AppCountLogsRequest) -> list[LogEntry]:
        since, until = _seconds(request.since), _seconds(request.until)
        entries = (entry for entry in self.journal.kept(self._app(request)) if since <= entry.timestamp <= until)
        return self._matching(entries, request, request.source)

    def _matching(
        self, entries: Iterable[LogEntry], request: Filters, fd: api_pb2.FileDescriptor.ValueType
    ) -> list[LogEntry]:
        def wanted(entry: LogEntry) -> bool:
            return (
                (not request.task_id or entry.task_id == request.task_id)
                and (not request.function_id or entry.function_id == request.function_id)
                and (not request.function_call_id or entry.function_call_id == request.function_call_id)
                and (not fd or entry.fd == fd)
                and request.search_text in entry.data
            )

        return [entry for entry in entries if wanted(entry)]
