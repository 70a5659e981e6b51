"""The proxy: a short, cheap training whose score stands in for full training.

`datasets` reads and splits the images, `recipe` holds the settings, `training` trains. Import the module
that is needed: `training` and what it is made of import torch when they are imported.
"""
