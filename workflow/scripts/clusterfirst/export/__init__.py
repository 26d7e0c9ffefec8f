"""What came of a slide, for other tools: the mask of its nuclei as an image. One file per format."""
