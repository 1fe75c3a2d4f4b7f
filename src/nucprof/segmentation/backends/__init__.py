"""The segmentation backends, one file each; every one declares itself.

A backend is a :class:`~nucprof.segmentation.backends.base.Segmenter` that an installed package
names in the entry-point group ``nucprof.segmenters``, our own included. See docs/backends.md.
"""
