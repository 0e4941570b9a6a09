
mod share;
