//! Sightline's own JSON.
