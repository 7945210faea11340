"""What every page shares: how states, numbers and events are said, and how requests are read and answered.

It knows no page. What one page alone needs belongs to that page.
"""
