"""Where foreign models meet this project's conventions; foreign axes, orders and time directions stop here."""
