from flsite.celery import app

__all__ = ("app",)
