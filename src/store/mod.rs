//! Ordered tables on LMDB.
