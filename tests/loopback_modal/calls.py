"""Calling functions through the control plane.

`remote` and `spawn` are `FunctionMap` with one input along; `map` is `FunctionMap`, then `FunctionPutInputs`.
Outputs are polled with `FunctionGetOutputs`. Retries of `remote` and `map` are the client's business
(`FunctionRetryInputs`), those of `spawn` the server's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sized
from functools import partial

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .checks import check_payload
from .ids import new_id, new_jwt, read_jwt
from .rpc import Caller, rpc
from .scheduler import Scheduler
from .state import Call, Container, Function, Input, Settings, World

MAX_OUTSTANDING = 1_000
MAX_SPAWNED = 1_000_000
LONGEST_POLL = 60.0


class Calls:
    """The RPCs of callers."""

    def __init__(self, world: World, settings: Settings, scheduler: Scheduler) -> None:
        self.world = world
        self.settings = settings
        self.scheduler = scheduler

    @rpc("FunctionMap")
    async def start(self, request: api_pb2.FunctionMapRequest, caller: Caller) -> api_pb2.FunctionMapResponse:
        """Begin a call, of one input or of many."""
        kind = "map" if request.function_call_type == api_pb2.FUNCTION_CALL_TYPE_MAP else "unary"
        call = self.new_call(request.function_id, kind, request.function_call_invocation_type)
        return api_pb2.FunctionMapResponse(
            function_call_id=call.id,
            pipelined_inputs=self.add_inputs(call, request.pipelined_inputs),
            retry_policy=call.function.definition.retry_policy,
            function_call_jwt=new_jwt(function_call_id=call.id),
            sync_client_retries_enabled=True,
            max_inputs_outstanding=MAX_OUTSTANDING,
        )

    def new_call(
        self,
        function_id: str,
        kind: str,
        invocation: int = api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC,
        from_input_plane: bool = False,
    ) -> Call:
        """Create a call of a function, unless its app is over."""
        function = self.world.functions.get(function_id)
        if function is None or not function.created:
            raise GRPCError(Status.NOT_FOUND, f"Function {function_id} not found")
        if function.app.stopped:
            raise GRPCError(Status.FAILED_PRECONDITION, f"App {function.app.id} is stopped")
        call = Call(new_id("fc"), function, kind, invocation, from_input_plane)
        self.world.calls[call.id] = call
        return call

    def add_inputs(
        self, call: Call, items: Iterable[api_pb2.FunctionPutInputsItem]
    ) -> list[api_pb2.FunctionPutInputsResponseItem]:
        """Queue inputs, and say under which ids."""
        items = list(items)
        self._check_backlog(call, len(items))
        answers = []
        for item in items:
            check_payload(item.input)
            created = self.world.new_input(call, item.idx, item.input)
            answers.append(
                api_pb2.FunctionPutInputsResponseItem(idx=item.idx, input_id=created.id, input_jwt=created.jwt)
            )
            self.scheduler.submit(created)
        return answers

    def _check_backlog(self, call: Call, count: int) -> None:
        limit = MAX_SPAWNED if call.asynchronous else self.settings.backlog
        if len(call.function.pending) + count > limit:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"More than {limit} pending inputs for this function")

    @rpc("FunctionPutInputs")
    async def put_inputs(
        self, request: api_pb2.FunctionPutInputsRequest, caller: Caller
    ) -> api_pb2.FunctionPutInputsResponse:
        """More inputs of a map."""
        call = self.call(request.function_call_id)
        return api_pb2.FunctionPutInputsResponse(inputs=self.add_inputs(call, request.inputs))

    @rpc("FunctionFinishInputs")
    async def finish_inputs(self, request: api_pb2.FunctionFinishInputsRequest, caller: Caller) -> Empty:
        """`spawn_map` has sent all it has."""
        return Empty()

    @rpc("FunctionRetryInputs")
    async def retry_inputs(
        self, request: api_pb2.FunctionRetryInputsRequest, caller: Caller
    ) -> api_pb2.FunctionRetryInputsResponse:
        """The client's retry policy has it that these are tried again."""
        tokens = []
        for again in request.inputs:
            item = self.world.inputs[read_jwt(again.input_jwt)["input_id"]]
            self.resubmit(item, again.retry_count or item.retry_count + 1)
            tokens.append(item.jwt)
        return api_pb2.FunctionRetryInputsResponse(input_jwts=tokens)

    def resubmit(self, item: Input, retry_count: int) -> None:
        """Run an input again that has an output already."""
        item.retry_count = retry_count
        item.call.done -= item.output is not None
        item.output, item.beside, item.silent = None, [], False
        item.started_at, item.ended_at = None, None
        item.jwt = new_jwt(input_id=item.id, function_call_id=item.call.id, idx=item.idx, retry=retry_count)
        self.scheduler.submit(item)

    @rpc("FunctionGetOutputs")
    async def get_outputs(
        self, request: api_pb2.FunctionGetOutputsRequest, caller: Caller
    ) -> api_pb2.FunctionGetOutputsResponse:
        """Wait for outputs: those of a range of inputs, or (a map) those that arrived after an entry."""
        call = self.call(request.function_call_id)
        timeout = min(request.timeout, LONGEST_POLL)
        if request.HasField("start_idx"):
            chosen = range(request.start_idx, request.end_idx + 1)

            def in_range() -> list[api_pb2.FunctionGetOutputsItem]:
                items = (call.inputs.get(idx) for idx in chosen)
                return [output for item in items if item is not None for output in item.outputs]

            outputs, last = await call.changed.until(in_range, timeout), "0-0"
        else:
            seen = int((request.last_entry_id or "0-0").split("-")[0])
            outputs = await call.changed.until(lambda: call.outputs[seen:], timeout)
            last = f"{seen + len(outputs)}-0"
        return api_pb2.FunctionGetOutputsResponse(
            idxs=[output.idx for output in outputs],
            outputs=outputs,
            last_entry_id=last,
            num_unfinished_inputs=call.unfinished(),
        )

    @rpc("FunctionCallGetDataOut")
    async def get_data_out(
        self, request: api_pb2.FunctionCallGetDataRequest, caller: Caller
    ) -> AsyncIterator[api_pb2.DataChunk]:
        """Stream what a generator yields, from its start or from where the client lost the stream."""
        call = self.call(request.function_call_id or request.attempt_token.partition("/")[0])
        seen, deadline = 0, time.monotonic() + LONGEST_POLL
        while time.monotonic() < deadline and not call.function.app.stopped:
            chunks = call.chunks[seen:]
            seen += len(chunks)
            for chunk in chunks:
                if chunk.index > request.last_index:
                    yield chunk
            await call.changed.until(partial(_longer, call.chunks, seen), 5.0)

    @rpc("FunctionCallCancel")
    async def cancel(self, request: api_pb2.FunctionCallCancelRequest, caller: Caller) -> Empty:
        """`call.cancel()`."""
        call = self.call(request.function_call_id)
        self.scheduler.cancel(list(call.inputs.values()), request.terminate_containers)
        return Empty()

    @rpc("FunctionCallFromId")
    async def from_id(
        self, request: api_pb2.FunctionCallFromIdRequest, caller: Caller
    ) -> api_pb2.FunctionCallFromIdResponse:
        """`FunctionCall.from_id`."""
        call = self.call(request.function_call_id)
        metadata = api_pb2.FunctionCallHandleMetadata(app_id=call.function.app.id, function_id=call.function.id)
        return api_pb2.FunctionCallFromIdResponse(
            function_call_id=call.id, num_inputs=len(call.inputs), metadata=metadata
        )

    @rpc("FunctionCallGetInfo")
    async def info(
        self, request: api_pb2.FunctionCallGetInfoRequest, caller: Caller
    ) -> api_pb2.FunctionCallGetInfoResponse:
        """How many inputs of a call ended how; a call's log stream ends by it."""
        call = self.call(request.function_call_id)
        totals = dict.fromkeys(("pending", "success", "failure", "timeout", "terminated"), 0)
        for item in call.inputs.values():
            known_as = {"running": "pending", "silent": "pending", "internal_failure": "failure"}
            totals[known_as.get(item.status, item.status)] += 1
        count = {name: api_pb2.InputCategoryInfo(total=total) for name, total in totals.items()}
        return api_pb2.FunctionCallGetInfoResponse(
            info=api_pb2.FunctionCallInfo(
                function_call_id=call.id,
                created_at=call.created_at,
                pending_inputs=count["pending"],
                succeeded_inputs=count["success"],
                failed_inputs=count["failure"],
                timeout_inputs=count["timeout"],
                cancelled_inputs=count["terminated"],
                total_inputs=len(call.inputs),
            )
        )

    @rpc("FunctionGetCurrentStats")
    async def stats(self, request: api_pb2.FunctionGetCurrentStatsRequest, caller: Caller) -> api_pb2.FunctionStats:
        """`function.get_current_stats()`."""
        function: Function = self.world.functions[request.function_id]
        return api_pb2.FunctionStats(
            backlog=len(function.pending),
            num_total_tasks=sum(self._counts(container) for container in function.live),
            num_running_inputs=sum(len(container.running) for container in function.live),
        )

    def _counts(self, container: Container) -> bool:
        return self.settings.stats_count_queued or container.started_at is not None

    def call(self, call_id: str) -> Call:
        """Return a call, or answer as Modal does when there is none."""
        if call_id not in self.world.calls:
            raise GRPCError(Status.NOT_FOUND, f"Function call {call_id} not found")
        return self.world.calls[call_id]


def _longer(things: Sized, seen: int) -> bool:
    return len(things) > seen
