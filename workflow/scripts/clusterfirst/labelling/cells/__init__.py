"""The cells that are labelled: results of the workflow, outlines and points as the browser gets them."""
