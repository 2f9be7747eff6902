"""One declaration per action: its parameters, inputs, outputs and run(context)."""
