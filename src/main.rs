//! Sightline: raw sightings in, leads out, each only to those who may have it.

fn main() {}
