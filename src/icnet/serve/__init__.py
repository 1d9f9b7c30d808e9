"""The model as a service: Open Inference Protocol, pictures over HTTP, and a page."""
