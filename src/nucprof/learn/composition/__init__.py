"""What wells hold: shares of the classes, corrected for the classifier's errors."""

from nucprof.learn.composition.estimate import Composition, CompositionEstimator
from nucprof.learn.composition.table import Known, cautions, compositions

__all__ = ["Composition", "CompositionEstimator", "Known", "cautions", "compositions"]
