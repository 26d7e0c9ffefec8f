"""From what people say of some cells to what all cells are: a classifier, and what to ask next.

Names of clusters are *silver*: each reaches all cells of its cluster, and one in five of them is something else. What a
person says of a cell itself is *gold*. Everything here is in closed form, so that an answer is learnt while the next
question is read.
"""
