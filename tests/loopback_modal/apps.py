"""Apps, and what surrounds them: hello, tokens, environments.

`app.run()` is `AppCreate`, the creation of functions, `AppPublish`, heartbeats, and `AppClientDisconnect`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .functions import layout
from .ids import new_id, new_jwt
from .images import BUILDER_VERSION
from .rpc import Caller, rpc
from .state import App, Function, Settings, World


class Apps:
    """The RPCs about apps and the session around them."""

    def __init__(self, world: World, settings: Settings, stop: Callable[[App], None]) -> None:
        self.world = world
        self.settings = settings
        self.stop_functions = stop

    @rpc("ClientHello")
    async def hello(self, request: Empty, caller: Caller) -> api_pb2.ClientHelloResponse:
        """`client.hello()`: is somebody there, and is my token good."""
        return api_pb2.ClientHelloResponse(image_builder_version=BUILDER_VERSION)

    @rpc("AuthTokenGet")
    async def auth_token(self, request: api_pb2.AuthTokenGetRequest, caller: Caller) -> api_pb2.AuthTokenGetResponse:
        """Give a short-lived token for the input plane."""
        return api_pb2.AuthTokenGetResponse(token=new_jwt(exp=int(time.time()) + 1200))

    @rpc("WorkspaceNameLookup")
    async def workspace(self, request: Empty, caller: Caller) -> api_pb2.WorkspaceNameLookupResponse:
        """`modal profile current`."""
        return api_pb2.WorkspaceNameLookupResponse(workspace_name="loopback", username="tester")

    @rpc("TokenInfoGet")
    async def token_info(self, request: api_pb2.TokenInfoGetRequest, caller: Caller) -> api_pb2.TokenInfoGetResponse:
        """`modal token info`."""
        return api_pb2.TokenInfoGetResponse(
            token_id=caller.metadata.get("x-modal-token-id", ""), workspace_name="loopback"
        )

    @rpc("EnvironmentGetOrCreate")
    async def environment(
        self, request: api_pb2.EnvironmentGetOrCreateRequest, caller: Caller
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        """The environment decides on the image builder's version."""
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id="en-0123456789012345678901",
            metadata=api_pb2.EnvironmentMetadata(
                name=request.deployment_name or "main",
                settings=api_pb2.EnvironmentSettings(image_builder_version=BUILDER_VERSION),
            ),
        )

    @rpc("AppCreate")
    async def create(self, request: api_pb2.AppCreateRequest, caller: Caller) -> api_pb2.AppCreateResponse:
        """The beginning of `app.run()`."""
        app = App(new_id("ap"), request.description, dict(request.tags))
        if request.app_state == api_pb2.APP_STATE_DETACHED:
            app.state = "detached"
        self.world.apps[app.id] = app
        url = f"https://modal.com/apps/loopback/main/{app.id}"
        return api_pb2.AppCreateResponse(app_id=app.id, app_page_url=url, app_logs_url=f"{url}/logs")

    @rpc("AppHeartbeat")
    async def heartbeat(self, request: api_pb2.AppHeartbeatRequest, caller: Caller) -> Empty:
        """The client lives."""
        app = self.app(request.app_id)
        app.heartbeats += 1
        app.heard_at = time.monotonic()
        return Empty()

    @rpc("AppPublish")
    async def publish(self, request: api_pb2.AppPublishRequest, caller: Caller) -> api_pb2.AppPublishResponse:
        """All functions are there; from now on none can be added."""
        app = self.app(request.app_id)
        app.function_ids, app.class_ids = dict(request.function_ids), dict(request.class_ids)
        app.published = True
        app.tags |= dict(request.tags)
        return api_pb2.AppPublishResponse(url=f"https://modal.com/apps/loopback/main/{app.id}")

    @rpc("AppClientDisconnect")
    async def disconnect(self, request: api_pb2.AppClientDisconnectRequest, caller: Caller) -> Empty:
        """The end of `app.run()`: the app stops, and its containers with it."""
        app = self.app(request.app_id)
        reason = api_pb2.AppDisconnectReason.Name(request.reason).removeprefix("APP_DISCONNECT_REASON_")
        app.client_exception = request.exception
        self.stop(app, reason.lower(), "client")
        return Empty()

    @rpc("AppStop")
    async def stop_request(self, request: api_pb2.AppStopRequest, caller: Caller) -> Empty:
        """`modal app stop`, or the button on the dashboard."""
        source = api_pb2.AppStopSource.Name(request.source).removeprefix("APP_STOP_SOURCE_").lower()
        self.stop(self.app(request.app_id), "stopped", source)
        return Empty()

    def stop(self, app: App, reason: str, source: str) -> None:
        """Stop an app, once."""
        if app.stopped:
            return
        app.stopped_at, app.state = time.time(), "stopped"
        app.stop_reason, app.stop_source = reason, source
        self.stop_functions(app)
        app.changed.notify()

    def stop_abandoned(self) -> None:
        """Stop apps whose client has not been heard of for too long."""
        for app in self.world.apps.values():
            silent = time.monotonic() - app.heard_at
            if app.state == "ephemeral" and silent > self.settings.heartbeat_timeout:
                self.stop(app, "heartbeat_lost", "server")

    @rpc("AppGetLayout")
    async def get_layout(self, request: api_pb2.AppGetLayoutRequest, caller: Caller) -> api_pb2.AppGetLayoutResponse:
        """What an app consists of."""
        return api_pb2.AppGetLayoutResponse(app_layout=layout(self.world, self.app(request.app_id)))

    @rpc("AppGetTags")
    async def get_tags(self, request: api_pb2.AppGetTagsRequest, caller: Caller) -> api_pb2.AppGetTagsResponse:
        """`app.get_tags()`."""
        return api_pb2.AppGetTagsResponse(tags=self.app(request.app_id).tags)

    @rpc("AppSetTags")
    async def set_tags(self, request: api_pb2.AppSetTagsRequest, caller: Caller) -> Empty:
        """`app.set_tags()`."""
        self.app(request.app_id).tags = dict(request.tags)
        return Empty()

    @rpc("AppGetLifecycle")
    async def lifecycle(
        self, request: api_pb2.AppGetLifecycleRequest, caller: Caller
    ) -> api_pb2.AppGetLifecycleResponse:
        """`modal app logs` asks whether the app still runs."""
        app = self.app(request.app_id)
        return api_pb2.AppGetLifecycleResponse(
            lifecycle=api_pb2.AppLifecycle(
                app_state=api_pb2.APP_STATE_STOPPED if app.stopped else api_pb2.APP_STATE_EPHEMERAL,
                created_at=app.created_at,
                stopped_at=app.stopped_at or 0,
            )
        )

    @rpc("AppGetInfo")
    async def info(self, request: api_pb2.AppGetInfoRequest, caller: Caller) -> api_pb2.AppGetInfoResponse:
        """`app.info()`."""
        app = self.app(request.app_id)
        metadata = api_pb2.AppHandleMetadata(description=app.name, app_id=app.id, environment_name="main")
        return api_pb2.AppGetInfoResponse(info=metadata)

    @rpc("AppList")
    async def list_apps(self, request: api_pb2.AppListRequest, caller: Caller) -> api_pb2.AppListResponse:
        """`modal app list`."""
        items = [
            api_pb2.AppListResponse.AppListItem(
                app_id=app.id,
                description=app.name,
                state=api_pb2.APP_STATE_STOPPED if app.stopped else api_pb2.APP_STATE_EPHEMERAL,
                created_at=app.created_at,
                stopped_at=app.stopped_at or 0,
                n_running_tasks=sum(len(function.live) for function in functions_of(self.world, app)),
            )
            for app in self.world.apps.values()
        ]
        return api_pb2.AppListResponse(apps=items)

    @rpc("TaskList")
    async def tasks(self, request: api_pb2.TaskListRequest, caller: Caller) -> api_pb2.TaskListResponse:
        """`modal container list`."""
        stats = [
            api_pb2.TaskStats(
                task_id=container.id,
                app_id=container.function.app.id,
                app_description=container.function.app.name,
                started_at=container.started_at or 0,
                enqueued_at=container.created_at,
            )
            for container in self.world.containers.values()
            if container.ended_at is None and request.app_id in ("", container.function.app.id)
        ]
        return api_pb2.TaskListResponse(tasks=stats)

    def app(self, app_id: str) -> App:
        """Return an app, or answer as Modal does when there is none."""
        if app_id not in self.world.apps:
            raise GRPCError(Status.NOT_FOUND, f"App {app_id} not found")
        return self.world.apps[app_id]


def functions_of(world: World, app: App) -> list[Function]:
    """Return the functions of an app, variants included."""
    return [function for function in world.functions.values() if function.app is app]
