"""Low-bit kernels stored at their bits in an export, and unpacked once when it is loaded.

A kernel is a resource, as lookup tables are: what makes it and what fills it are functions of the export, which hold the codes
and bases as constants (`quant.unpacking`). `tf.saved_model.load` runs them; for sessions, TensorFlow Serving's too, they are
part of the operation that initialises the graph. From then on a call reads the float kernel as it reads any variable.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import tensorflow as tf

from quant import unpacking
from tfres.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant import PackedKernel
    from tfres.models.served import ServedNetwork


class UnpackedKernel(tf.saved_model.experimental.TrackableResource):
    """A float32 kernel that comes from codes.

    Args:
        packed: codes and bases.
        shape: of the kernel.
        name: of the resource, unique in a server.
    """

    def __init__(self, packed: PackedKernel, shape: Sequence[int], name: str) -> None:
        super().__init__()
        self._packed, self._shape, self._name = packed, tf.TensorShape(shape), name
        self._initialize()

    def read(self) -> tf.Tensor:
        """The kernel."""
        kernel = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=tf.float32)
        return tf.ensure_shape(kernel, self._shape)

    def _create_resource(self) -> tf.Tensor:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=self._shape, shared_name=self._name)

    def _initialize(self) -> None:
        kernel = tf.reshape(unpacking(self._packed), self._shape)
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=kernel)

    def _destroy_resource(self) -> None:
        tf.raw_ops.DestroyResourceOp(resource=self.resource_handle, ignore_lookup_error=True)


def pack(served: ServedNetwork) -> list[UnpackedKernel | tf.Variable]:
    """Make a served network read the kernels that have few bits from codes.

    Args:
        served: its functions are not traced yet.

    Returns:
        what an export must hold for it: these kernels, and all other variables.

    Raises:
        ExportError: no kernel has bits.
    """
    mark = secrets.token_hex(16)  # of this export alone: two in one server do not take each other's kernels
    kernels, unread = [], set()
    for number, (layer, packed) in enumerate(served.packed_kernels()):
        kernel = UnpackedKernel(packed, layer.latent_kernel.shape, f"{layer.name}_{number}_{mark}")
        unread.add(id(layer.read_kernel(kernel.read)))
        kernels.append(kernel)
    if not kernels:
        raise ExportError("`packed` needs kernels of 1 to 8 bits, the same in every call. Received: a network without any.")
    return [*kernels, *(variable for variable in served.weights if id(variable) not in unread)]
