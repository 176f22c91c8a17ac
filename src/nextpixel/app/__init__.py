"""The app in the browser: `page` is what stands where, `work` what it does."""
