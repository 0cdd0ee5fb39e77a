"""The console's pages: each reads by a selector, each action is one service call by a person with the role for it."""
