"""The book: every position in columns, and who crosses a line when a price moves."""

# numpy loads it at the first np.unique of a process: in the middle of a load, and for longer than the event
# loop may be held up.
import numpy.ma  # noqa: F401  # only to be there
