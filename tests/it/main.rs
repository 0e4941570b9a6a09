//! Tests through the rooms' faces.

// Databases of addresses, as they come; needs what tests/fetch fetches.
mod geoip;
