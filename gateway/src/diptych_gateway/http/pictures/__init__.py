"""Requests whose body is a picture, and answers that are one."""
