"""What a user starts: a search, its finalists, a calibration, a forecast, an export, a scaling."""
