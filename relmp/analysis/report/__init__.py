"""What was found, in sentences, numbers, figures and a page."""
