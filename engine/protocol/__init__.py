"""The one place that knows the program: addresses, layouts, instructions, errors, events, margin, prices.

Another protocol means another folder like this one; nothing outside knows a byte offset or an error code.
"""
