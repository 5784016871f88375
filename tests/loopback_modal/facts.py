"""What tests may ask about: the server's state as plain JSON, in the words of a user of Modal."""

from __future__ import annotations

from typing import Any

from modal_proto import api_pb2

from .state import App, Call, Container, Function, Image, Input, Settings, World
from .storage import describe


def facts(world: World, settings: Settings) -> dict[str, Any]:
    """Return everything, each list in order of creation."""
    return {
        "apps": [_app(app) for app in world.apps.values()],
        "functions": [_function(function, world) for function in world.functions.values()],
        "images": [_image(image) for image in world.images.values()],
        "mounts": [describe(mount, world) for mount in world.mounts.values()],
        "containers": [_container(container) for container in world.containers.values()],
        "calls": [_call(call) for call in world.calls.values()],
        "inputs": [_input(item) for item in world.inputs.values()],
        "volumes": [
            {
                "id": volume.id,
                "name": volume.name,
                "directory": str(volume.directory),
                "commits": volume.commits,
                "reloads": volume.reloads,
                "mounted_by": volume.mounted_by,
            }
            for volume in world.volumes.values()
        ],
        "secrets": [
            {"id": secret.id, "name": secret.name, "keys": sorted(secret.values)} for secret in world.secrets.values()
        ],
        "blobs": [{"id": blob_id, **blob} for blob_id, blob in world.blobs.items()],
        "rpcs": dict(world.rpcs),
        "unknown_rpcs": dict(world.unknown),
        "errors": list(world.errors),
        "input_plane": settings.input_plane,
    }


def _app(app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "name": app.name,
        "tags": app.tags,
        "state": app.state,
        "created_at": app.created_at,
        "published": app.published,
        "heartbeats": app.heartbeats,
        "stopped_at": app.stopped_at,
        "stop_reason": app.stop_reason,
        "stop_source": app.stop_source,
        "client_exception": app.client_exception,
        "log": [
            {
                "timestamp": entry.timestamp,
                "source": {1: "stdout", 2: "stderr"}.get(entry.fd, "system"),
                "message": entry.data,
                "container": entry.task_id,
                "function": entry.function_id,
                "call": entry.function_call_id,
                "input": entry.input_id,
            }
            for entry in app.logs
        ],
    }


def _function(function: Function, world: World) -> dict[str, Any]:
    definition = function.definition
    env_names: set[str] = set()
    for secret_id in definition.secret_ids:
        secret = world.secrets[secret_id]
        if not secret.name:
            env_names |= set(secret.values)
    return {
        "id": function.id,
        "app": function.app.id,
        "name": function.name,
        "base": function.base_id,
        "created": function.created,
        "gpus": function.gpus,
        "timeout": definition.timeout_secs,
        "startup_timeout": definition.startup_timeout_secs,
        "max_containers": definition.concurrency_limit or None,
        "min_containers": definition.warm_pool_size or None,
        "scaledown_window": definition.task_idle_timeout_secs or None,
        "max_concurrent_inputs": definition.max_concurrent_inputs or 1,
        "retries": definition.retry_policy.retries,
        "cpu": definition.resources.milli_cpu / 1000 or None,
        "memory": definition.resources.memory_mb or None,
        "regions": list(definition.scheduler_placement.regions),
        "nonpreemptible": definition.scheduler_placement.nonpreemptible,
        "volumes": {mount.mount_path: mount.volume_id for mount in definition.volume_mounts},
        "secrets": [
            world.secrets[secret_id].name for secret_id in definition.secret_ids if world.secrets[secret_id].name
        ],
        "env_names": sorted(env_names),
        "mounts": list(definition.mount_ids),
        "image": definition.image_id,
        "module": definition.module_name,
        "serialized": definition.definition_type == api_pb2.Function.DEFINITION_TYPE_SERIALIZED,
        "serialized_size": len(definition.function_serialized) + len(definition.class_serialized),
        "is_class": definition.is_class,
        "is_generator": definition.function_type == api_pb2.Function.FUNCTION_TYPE_GENERATOR,
        "containers": [container.id for container in function.containers],
        "pending": len(function.pending),
        "crashes": function.crashes,
    }


def _image(image: Image) -> dict[str, Any]:
    layers = image.layers()
    return {
        "id": image.id,
        "base": image.base.id if image.base else "",
        "commands": image.commands,
        "all_commands": [command for layer in layers for command in layer.commands],
        "requirements": [text for layer in layers for text in layer.requirements],
        "packages": image.packages,
        "env": {name: value for layer in layers for name, value in layer.env.items()},
        "python": next((layer.python for layer in layers if layer.python), ""),
        "copied": [file.filename for layer in layers for file in layer.copied],
        "not_run": [command for layer in layers for command in layer.ignored],
        "builds": image.builds,
        "failed": image.failed,
        "log": [entry.data for entry in image.builder.logs] if image.builder else [],
    }


def _container(container: Container) -> dict[str, Any]:
    return {
        "id": container.id,
        "function": container.function.id,
        "function_name": container.function.name,
        "app": container.function.app.id,
        "gpu": container.gpu,
        "pid": container.process.pid if container.process else None,
        "created_at": container.created_at,
        "started_at": container.started_at,
        "ready_at": container.ready_at,
        "ended_at": container.ended_at,
        "exit_status": container.exit_status,
        "end_reason": container.end_reason,
        "running": list(container.running),
        "executed": container.executed,
    }


def _call(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "function": call.function.id,
        "kind": call.kind,
        "spawned": call.asynchronous,
        "from_input_plane": call.from_input_plane,
        "created_at": call.created_at,
        "inputs": [item.id for item in call.inputs.values()],
        "chunks": len(call.chunks),
    }


def _input(item: Input) -> dict[str, Any]:
    return {
        "id": item.id,
        "idx": item.idx,
        "call": item.call.id,
        "function": item.call.function.id,
        "function_name": item.call.function.name,
        "method": item.payload.method_name,
        "size": len(item.payload.args),
        "blob": item.payload.args_blob_id,
        "created_at": item.created_at,
        "started_at": item.started_at,
        "ended_at": item.ended_at,
        "status": item.status,
        "message": item.output.result.exception if item.output else "",
        "output_size": len(item.output.result.data) if item.output else 0,
        "output_blob": item.output.result.data_blob_id if item.output else "",
        "retry_count": item.retry_count,
        "attempts": item.attempts,
    }
