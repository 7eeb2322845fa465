"""Our own checks: rules that no linter knows, each a few lines on the syntax tree."""
