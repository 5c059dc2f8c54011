"""Load a model: one that comes with the package, or an imported one on the engine that is wished for."""

from dataclasses import dataclass, field
from pathlib import Path

from dicomnode.inference.engines import EngineWish, Precision, no_int8, open_engine
from dicomnode.inference.layouts import INT8_FILES
from dicomnode.inference.library import check_files, find_model
from dicomnode.inference.lite_medsam import LiteMedSamRuntime
from dicomnode.inference.runtime import RUNTIMES, Runtime, load_built_in


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelWish:
    """Which model, by its name, from the folder of the imported ones, on which engine.

    `reference` asks for the arithmetic of the model's reference implementation where there is one.
    """

    name: str
    folder: Path
    engine: EngineWish = field(default_factory=EngineWish)
    reference: bool = False

    def __call__(self) -> Runtime:
        """Return the model, all of the files that it is made of checked."""
        if self.name in RUNTIMES:
            return load_built_in(self.name, self.engine)
        model = find_model(self.folder, self.name)
        int8 = self.engine.precision is Precision.INT8
        if int8 and not set(INT8_FILES) <= model.lineage.files.keys():
            raise no_int8(self.name)
        check_files(model, without=() if int8 else INT8_FILES)
        engine = open_engine(self.engine, model.folder)
        return LiteMedSamRuntime(model.name, model.lineage.weights_sha256, engine, reference=self.reference)
