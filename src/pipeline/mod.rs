//! The only place that schedules: it joins the stages, runs them side by side and says what happens.

pub mod events;
pub mod summary;
