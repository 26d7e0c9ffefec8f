"""A multimodal model is shown typical cells of each cluster, and says what they are.

`views` draws the pictures, `prompts` says what is asked, `answers` what may come back; `server` sends one request,
`cache` and `budget` remember requests, `asking` brings all of it together, `plan` only says what it would come to. What
comes out is the file that `labels.model` reads.
"""
