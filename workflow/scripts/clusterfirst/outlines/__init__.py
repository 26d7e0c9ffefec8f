"""What an outlined object is; `foreign` reads outlines that come from elsewhere."""
