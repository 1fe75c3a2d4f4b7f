"""Files: the only part of nucprof that opens one."""
