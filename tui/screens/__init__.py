"""The screens and dialogs; every one of them keeps the banner in sight and the stop key alive."""
