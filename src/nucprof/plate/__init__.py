"""The domain: keys of fields and cells, file-name patterns, layouts, channels."""
