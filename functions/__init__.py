"""The triggers, a blueprint for each feature."""

from shared.kernel.dataclass_code import compile_annotations_once, use_compiled_methods
from shared.kernel.module_code import use_packed_modules
from shared.kernel.pattern_code import use_compiled_patterns

# Here, since whatever else of ours is loaded comes after.
use_packed_modules()
use_compiled_methods()
compile_annotations_once()
use_compiled_patterns()
