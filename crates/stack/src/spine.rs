//! A packet's whole way, up and down, layer by layer: the only file that names every layer.
