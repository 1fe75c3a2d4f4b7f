"""The parts of the report, one function each: results in, records out; None where there is none."""
