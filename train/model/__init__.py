"""The networks: acoustic encoder, visual encoder, scene classifier."""
