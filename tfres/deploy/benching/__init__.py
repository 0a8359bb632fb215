"""What exports take on this machine, side by side: needs what runs them and no model code."""

from tfres.deploy.benching.keeping import keep
from tfres.deploy.benching.measuring import bench
from tfres.deploy.benching.report import tabulated, write

__all__ = ["bench", "keep", "tabulated", "write"]
