"""The triggers, a blueprint for each feature."""

from shared.kernel.dataclass_code import use_compiled_methods
from shared.kernel.pattern_code import use_compiled_patterns

# Here, since whatever else of ours is loaded comes after.
use_compiled_methods()
use_compiled_patterns()
