"""The science of one step each: arrays and tables in, arrays and tables out."""
