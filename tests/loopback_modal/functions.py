"""Definitions of functions and classes.

`FunctionPrecreate` gives a function its id before it is pickled, `FunctionCreate` brings the definition (as
`function`, or as `function_data` with one definition for each GPU of a list). A class is one "service
function" called `Name.*`; an instance with parameters, or `with_options`, is a variant of it
(`FunctionBindParams`).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Container, Iterable

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .checks import check_function, refuse
from .ids import new_id
from .objects import volume_metadata
from .rpc import Caller, rpc
from .state import App, Function, Settings, World
from .storage import mount_metadata

INPUT_PLANE_REGION = "loopback"


class Functions:
    """The RPCs about definitions."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings
        self.input_plane_url = ""  # set when the port is known

    @rpc("FunctionPrecreate")
    async def precreate(
        self, request: api_pb2.FunctionPrecreateRequest, caller: Caller
    ) -> api_pb2.FunctionPrecreateResponse:
        """Give a function its id."""
        app = self._app(request.app_id)
        if not request.existing_function_id:
            self._check_unique(app, request.function_name)
        function = self.world.functions.get(request.existing_function_id) or self._new(app, request.function_name)
        function.metadata = self._metadata(function, request)
        return api_pb2.FunctionPrecreateResponse(function_id=function.id, handle_metadata=function.metadata)

    @rpc("FunctionCreate")
    async def create(self, request: api_pb2.FunctionCreateRequest, caller: Caller) -> api_pb2.FunctionCreateResponse:
        """Take a definition."""
        app = self._app(request.app_id)
        data = self._data(request)
        definitions = [ranked.function for ranked in data.ranked_functions]
        for definition in definitions:
            check_function(definition)
            self._check_references(definition)
        function = self.world.functions.get(request.existing_function_id)
        if function is None:
            self._check_unique(app, definitions[0].function_name)
            function = self._new(app, definitions[0].function_name)
        function.definition = definitions[0]
        function.ranked = definitions if len(definitions) > 1 else []
        function.metadata = self._metadata(function, definitions[0])
        function.created = True
        return api_pb2.FunctionCreateResponse(
            function_id=function.id,
            function=definitions[0],
            function_data=data,
            handle_metadata=function.metadata,
        )

    def _data(self, request: api_pb2.FunctionCreateRequest) -> api_pb2.FunctionData:
        """Return the definition in its newer form: the client wants `ranked_functions` back, always."""
        if request.HasField("function_data"):
            data = request.function_data
            for ranked in data.ranked_functions:  # what the newer form has pulled up
                ranked.function.is_class = data.is_class
            return data
        definition = request.function
        return api_pb2.FunctionData(
            module_name=definition.module_name,
            function_name=definition.function_name,
            function_type=definition.function_type,
            timeout_secs=definition.timeout_secs,
            startup_timeout_secs=definition.startup_timeout_secs,
            is_class=definition.is_class,
            class_parameter_info=definition.class_parameter_info,
            method_definitions=definition.method_definitions,
            method_definitions_set=True,
            autoscaler_settings=definition.autoscaler_settings,
            supported_input_formats=definition.supported_input_formats,
            supported_output_formats=definition.supported_output_formats,
            ranked_functions=[api_pb2.FunctionData.RankedFunction(rank=0, function=definition)],
        )

    def _check_references(self, definition: api_pb2.Function) -> None:
        image = self.world.images.get(definition.image_id)
        if image is None or image.failed:
            raise refuse(f"Function {definition.function_name}: no image {definition.image_id!r}")
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if image.python_version not in ("", here):
            raise refuse(f"The loopback server has Python {here} only; the image has {image.python_version}")
        known: list[tuple[Container[str], Iterable[str]]] = [
            (self.world.mounts, definition.mount_ids),
            (self.world.secrets, definition.secret_ids),
            (self.world.volumes, [mount.volume_id for mount in definition.volume_mounts]),
        ]
        for table, object_ids in known:
            if unknown := [object_id for object_id in object_ids if object_id not in table]:
                raise GRPCError(Status.NOT_FOUND, f"not found: {', '.join(unknown)}")

    def _check_unique(self, app: App, name: str) -> None:
        for function in self.world.functions.values():
            if function.app is app and not function.base_id and function.name == name:
                raise refuse(f"App {app.name!r} already has a function named {name!r}")

    def _new(self, app: App, name: str) -> Function:
        function = Function(new_id("fu"), app, name)
        self.world.functions[function.id] = function
        return function

    def _metadata(
        self, function: Function, source: api_pb2.FunctionPrecreateRequest | api_pb2.Function
    ) -> api_pb2.FunctionHandleMetadata:
        """Return what a client needs to call the function."""
        metadata = api_pb2.FunctionHandleMetadata(
            function_name=source.function_name,
            function_type=source.function_type,
            definition_id=f"de-{function.id[3:]}",
            function_schema=source.function_schema,
            supported_input_formats=source.supported_input_formats,
            supported_output_formats=source.supported_output_formats,
            app_id=function.app.id,
            base_function_id=function.base_id or function.id,
        )
        if isinstance(source, api_pb2.Function):
            metadata.class_parameter_info.CopyFrom(source.class_parameter_info)
            metadata.is_method = source.is_method
        self._route(metadata)
        for name, method in source.method_definitions.items():
            handle = metadata.method_handle_metadata[name]
            handle.function_name = method.function_name
            handle.function_type = method.function_type
            handle.is_method = True
            handle.use_method_name = name
            handle.function_schema.CopyFrom(method.function_schema)
            handle.supported_input_formats.extend(method.supported_input_formats)
            handle.supported_output_formats.extend(method.supported_output_formats)
            handle.app_id = function.app.id
            self._route(handle)
        return metadata

    def _route(self, metadata: api_pb2.FunctionHandleMetadata) -> None:
        """Send calls to the input plane, where the workspace uses it."""
        if self.settings.input_plane:
            metadata.input_plane_url = self.input_plane_url
            metadata.input_plane_region = INPUT_PLANE_REGION

    @rpc("FunctionBindParams")
    async def bind(
        self, request: api_pb2.FunctionBindParamsRequest, caller: Caller
    ) -> api_pb2.FunctionBindParamsResponse:
        """Make a variant of a function: other class parameters, other options."""
        base = self.world.functions[request.function_id]
        key = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()[:22]
        variant = self.world.functions.get(f"fu-{key}")
        if variant is None:
            variant = Function(f"fu-{key}", base.app, base.name, base_id=base.id, created=True)
            variant.params = request.serialized_params
            variant.definition.CopyFrom(base.definition)
            variant.ranked = [] if request.HasField("function_options") else base.ranked
            _apply_options(variant.definition, request.function_options)
            check_function(variant.definition)
            variant.metadata = self._metadata(variant, variant.definition)
            self.world.functions[variant.id] = variant
        return api_pb2.FunctionBindParamsResponse(bound_function_id=variant.id, handle_metadata=variant.metadata)

    @rpc("ClassCreate")
    async def create_class(self, request: api_pb2.ClassCreateRequest, caller: Caller) -> api_pb2.ClassCreateResponse:
        """A class is an id; everything else is its service function's."""
        class_id = request.existing_class_id or new_id("cs")
        self.world.classes[class_id] = self._app(request.app_id).id
        return api_pb2.ClassCreateResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    def _app(self, app_id: str) -> App:
        app = self.world.apps.get(app_id)
        if app is None:
            raise GRPCError(Status.NOT_FOUND, f"App {app_id} not found")
        if app.stopped:
            raise GRPCError(Status.FAILED_PRECONDITION, f"App {app_id} is stopped")
        return app


def _apply_options(definition: api_pb2.Function, options: api_pb2.FunctionOptions) -> None:
    for name in ("concurrency_limit", "timeout_secs", "task_idle_timeout_secs", "max_concurrent_inputs"):
        if options.HasField(name):
            setattr(definition, name, getattr(options, name))
    if options.HasField("timeout_secs"):
        definition.startup_timeout_secs = options.timeout_secs
    if options.HasField("resources"):
        definition.resources.MergeFrom(options.resources)
    if options.HasField("retry_policy"):
        definition.retry_policy.CopyFrom(options.retry_policy)
    if options.replace_secret_ids:
        del definition.secret_ids[:]
    definition.secret_ids.extend(options.secret_ids)
    if options.replace_volume_mounts:
        del definition.volume_mounts[:]
    definition.volume_mounts.extend(options.volume_mounts)


def layout(world: World, app: App) -> api_pb2.AppLayout:
    """Return the app's objects; a container needs each one that its function depends on."""
    objects = []
    wanted: set[str] = set()
    for function in world.functions.values():
        if function.app is app:
            objects.append(api_pb2.Object(object_id=function.id, function_handle_metadata=function.metadata))
            wanted |= {dependency.object_id for dependency in function.definition.object_dependencies}
    for class_id, app_id in world.classes.items():
        if app_id == app.id:
            metadata = api_pb2.ClassHandleMetadata()
            objects.append(api_pb2.Object(object_id=class_id, class_handle_metadata=metadata))
    for object_id in sorted(wanted):
        described = api_pb2.Object(object_id=object_id)
        if object_id in world.volumes:
            described.volume_metadata.CopyFrom(volume_metadata(world.volumes[object_id]))
        elif object_id in world.mounts:
            described.mount_handle_metadata.CopyFrom(mount_metadata(world.mounts[object_id]))
        objects.append(described)
    return api_pb2.AppLayout(objects=objects, function_ids=app.function_ids, class_ids=app.class_ids)
