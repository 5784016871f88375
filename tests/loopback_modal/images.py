"""Images: definitions are kept, and "built" from the distributions that are installed here.

Every layer arrives as one `ImageGetOrCreate`. A new one is built while the client waits in
`ImageJoinStreaming`, which streams the build's log and its result; a known one answers at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator

from google.protobuf.timestamp_pb2 import Timestamp
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from . import packages, recipe
from .faults import Faults
from .ids import new_id
from .rpc import Caller, rpc
from .state import FAILURE, SUCCESS, App, Image, LogEntry, World

BUILDER_VERSION = "2025.06"


class Images:
    """The RPCs about images."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.faults = faults

    @rpc("ImageGetOrCreate")
    async def get_or_create(
        self, request: api_pb2.ImageGetOrCreateRequest, caller: Caller
    ) -> api_pb2.ImageGetOrCreateResponse:
        """One layer: known by its definition, or to be built."""
        definition = request.image
        if definition.HasField("build_function"):
            raise GRPCError(
                Status.INVALID_ARGUMENT, "The loopback server can't run functions at build (`run_function`)"
            )
        key = hashlib.sha256(definition.SerializeToString(deterministic=True)).hexdigest()
        image = self.world.images.get(self.world.image_keys.get(key, ""))
        if image is None or image.failed or request.force_build:
            image = self._new(definition, key)
        if image.builder is None or (image.build is not None and not image.build.done()):
            return api_pb2.ImageGetOrCreateResponse(image_id=image.id)
        return api_pb2.ImageGetOrCreateResponse(
            image_id=image.id,
            result=api_pb2.GenericResult(status=SUCCESS),
            metadata=image_metadata(image),
        )

    def _new(self, definition: api_pb2.Image, key: str) -> Image:
        base_ids = [base.image_id for base in definition.base_images]
        base = self.world.images[base_ids[0]] if base_ids else None
        image = Image(new_id("im"), list(definition.dockerfile_commands), base)
        files = {file.filename: file.data for file in definition.context_files}
        if definition.context_mount_id:
            mount = self.world.mounts[definition.context_mount_id]
            image.copied = list(mount.files)
            files |= {
                file.filename: self.world.contents[file.sha256_hex].read_bytes()
                for file in mount.files
                if file.sha256_hex in self.world.contents
            }
        try:
            read = recipe.read(image.commands, files)
        except recipe.BuildError as error:
            image.unreadable = str(error)
        else:
            image.requirements, image.env = read.requirements, read.env
            image.ignored, image.copied_to, image.python = read.ignored, read.copies_to, read.python
        self.world.images[image.id] = image
        self.world.image_keys[key] = image.id
        return image

    @rpc("ImageJoinStreaming")
    async def join(
        self, request: api_pb2.ImageJoinStreamingRequest, caller: Caller
    ) -> AsyncIterator[api_pb2.ImageJoinStreamingResponse]:
        """Build the image, or wait for its build, and stream the log and the result."""
        image = self._image(request.image_id)
        if image.builder is None:
            image.builder = App(new_id("ap"), f"build of {image.id}", {})
            self.world.builders[image.builder.id] = image.builder
            image.build = asyncio.ensure_future(asyncio.to_thread(self._build, image))
        if image.build is not None:
            await asyncio.shield(image.build)
        log = image.builder.logs
        seen = int((request.last_entry_id or "0").split("-")[0])
        lines = [
            api_pb2.TaskLogs(data=entry.data, timestamp=entry.timestamp, file_descriptor=entry.fd)
            for entry in log[seen:]
        ]
        yield api_pb2.ImageJoinStreamingResponse(task_logs=lines, entry_id=f"{len(log)}-0")
        status = FAILURE if image.failed else SUCCESS
        yield api_pb2.ImageJoinStreamingResponse(
            result=api_pb2.GenericResult(status=status, exception=image.error),
            metadata=None if image.failed else image_metadata(image),
            entry_id=f"{len(log) + 1}-0",
            eof=True,
        )

    def _build(self, image: Image) -> None:
        """Resolve what all layers up to this one ask for, and prepare the environment that has it."""
        image.builds += 1
        self._say(image, f"Building image {image.id}\n")
        for number, command in enumerate(image.commands):
            self._say(image, f"=> Step {number}: {command}\n")
        try:
            self._fault(image)
            if image.unreadable:
                raise recipe.BuildError(image.unreadable)
            closure = packages.resolve(text for layer in image.layers() for text in layer.requirements)
            image.interpreter = packages.environment(closure.names)
            image.packages = closure.names
            self._say(image, f"Built image {image.id}\n")
        except (recipe.BuildError, packages.NoSolutionError) as error:
            image.failed = True
            self._say(image, f"{error}\n")
            self._say(image, "Terminating task due to error: failed to run builder command: exit status 1\n")

    def _fault(self, image: Image) -> None:
        commands = "\n".join(image.commands)
        fault = self.faults.find("image_build")
        if fault is None or fault.option("match", "") not in commands:
            return
        fault.used += 1
        image.error = fault.option("message", "")
        raise recipe.BuildError("\n".join(fault.option("log", ["error: the build was told to fail"])))

    def _say(self, image: Image, text: str) -> None:
        assert image.builder is not None
        log = image.builder.logs
        log.append(
            LogEntry(len(log) + 1, time.time(), text, api_pb2.FILE_DESCRIPTOR_STDOUT, task_id=image.builder_task)
        )

    @rpc("ImageBuildChainGet")
    async def chain(
        self, request: api_pb2.ImageBuildChainGetRequest, caller: Caller
    ) -> api_pb2.ImageBuildChainGetResponse:
        """Say where the logs of an image's builds are: each build is a task of an app of its own."""
        steps = []
        for layer in self._image(request.image_id).layers():
            if layer.builder is not None:
                started, finished = Timestamp(), Timestamp()
                started.FromSeconds(int(layer.builder.created_at))
                finished.FromSeconds(int(time.time()) + 1)
                steps.append(
                    api_pb2.ImageBuildStep(
                        image_id=layer.id,
                        started_at=started,
                        finished_at=finished,
                        builder_app_id=layer.builder.id,
                        builder_task_id=layer.builder_task,
                    )
                )
        return api_pb2.ImageBuildChainGetResponse(build_steps=steps)

    @rpc("ImageFromId")
    async def from_id(self, request: api_pb2.ImageFromIdRequest, caller: Caller) -> api_pb2.ImageFromIdResponse:
        """`Image.from_id`."""
        image = self._image(request.image_id)
        return api_pb2.ImageFromIdResponse(image_id=image.id, metadata=image_metadata(image))

    def _image(self, image_id: str) -> Image:
        if image_id not in self.world.images:
            raise GRPCError(Status.NOT_FOUND, f"Image {image_id} not found")
        return self.world.images[image_id]


def image_metadata(image: Image) -> api_pb2.ImageMetadata:
    """Return what the client keeps of an image."""
    return api_pb2.ImageMetadata(
        python_version_info=f"Python {sys.version.split()[0]}",
        python_packages=image.packages,
        image_builder_version=BUILDER_VERSION,
        workdir="/root",
    )
