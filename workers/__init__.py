"""THE HANDS: Celery tasks, their policy, and the stack that runs every process; importing this loads nothing."""
