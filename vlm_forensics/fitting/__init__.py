"""What the recipes in training/ are made of: views, corpus, stages and calibration."""
