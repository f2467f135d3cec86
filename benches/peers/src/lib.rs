//! What punctual costs, beside its peers and beside the floor under all of them, in one run.
//!
//! [`measure`] takes rounds in turn from whoever can do a case; [`hosts`] brings the schedulers under one roof; [`cases`] are the
//! rows of the table that [`table`] prints; [`picture`] draws two of them over the number of jobs. [`python`] asks schedulers that
//! are written in Python.

pub mod cases;
pub mod hosts;
pub mod measure;
pub mod picture;
pub mod python;
pub mod table;
