"""What an application needs to run an export: TensorFlow or LiteRT, the query table and no model code."""

from tfres.deploy.runtime.adaptive import AdaptiveModel
from tfres.deploy.runtime.answer import Answer

__all__ = ["AdaptiveModel", "Answer"]
